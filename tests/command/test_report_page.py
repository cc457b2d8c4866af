"""The report of a real run in a real browser: it plays, seeks, sorts, filters, and its threshold is a job's."""

import json
import re
import shutil
from pathlib import Path

import pytest

from clipscout.pipeline.run import main
from clipscout.transforms.core.report import curves
from clipscout.transforms.core.report import page as report_page
from clipscout.transforms.core.results.highlights import cut_off
from demo.footage import sample_videos
from tests.browser import axe_violations
from tests.conftest import read_jsonl
from tests.jobs import arguments, scene_video
from tests.media_maker import remux
from tests.programs import until
from tests.servers import folder_server

PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True}
DARK = {"color_scheme": "dark"}
LABELS = {
    "riding a bike": ["mountain bike", "bicycle-built-for-two", "unicycle"],
    "wearing a tie": ["Windsor tie", "bow tie"],
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder of a run over three real videos and one that is none, and its arguments."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "videos").mkdir()
    for name in ("bikes", "carphone_pristine", "bigbuckbunny"):
        shutil.copy(sample_videos() / f"{name}.mp4", folder / "videos")
    (folder / "videos/broken.mp4").write_bytes(b"no video")
    rows = [{"action": action, "path": f"{folder}/videos/*.mp4", "classes": LABELS[action]} for action in LABELS]
    given = arguments(folder, rows, "lite0", "--clip_seconds=2", "--top_k=2")
    assert main(given) == 0
    return folder, given


@pytest.fixture(scope="module")
def spans(ran):
    return read_jsonl(ran[0] / "output/spans.jsonl")


@pytest.fixture
def opened(ran, open_page):
    """Opens the page from disk, at a place within it; at the end nothing may have gone wrong or left the page."""
    pages = []

    def at(place="", **options):
        one = open_page(ran[0] / "output/report/index.html", **options)
        pages.append(one)
        if place:
            go(one.page, place)
        return one

    yield at
    for one in pages:
        assert (one.errors, one.external()) == ([], [])


def go(page, place):
    """Goes to a place of the page, and waits until it is drawn."""
    page.evaluate(
        "place => new Promise(drawn => { addEventListener('hashchange', () => setTimeout(() => requestAnimationFrame("
        "() => requestAnimationFrame(drawn))), { once: true }); if (location.hash === place) drawn();"
        "location.hash = place; })",
        place,
    )


def drawn(page):
    """Waits until what was asked for is drawn."""
    page.evaluate("new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(drawn))))")


def shown(page):
    """Returns the ids of the cards, in order."""
    return page.locator(".card").evaluate_all("cards => cards.map(card => card.dataset.id)")


def plays(page, selector):
    """Tells whether a video's time moves."""
    until(lambda: page.evaluate("s => document.querySelector(s)?.currentTime > 0.2", selector))
    return True


def test_cards_stand_strongest_first_and_can_be_sorted_and_filtered(opened, spans):
    page = opened("#/clips").page
    strongest = [span["id"] for span in sorted(spans, key=lambda span: (-span["score"], span["id"]))]
    assert shown(page) == strongest
    assert "null" not in page.locator("main").inner_text()
    page.get_by_label("sort", exact=True).select_option("weakest first")
    drawn(page)
    assert shown(page) == [span["id"] for span in sorted(spans, key=lambda span: (span["score"], span["id"]))]
    page.get_by_label("action", exact=True).select_option("riding a bike")
    drawn(page)
    assert {*shown(page)} == {span["id"] for span in spans if span["action"] == "riding a bike"}
    page.get_by_label("search", exact=True).fill("bikes unicycle")
    drawn(page)
    found = [span for span in spans if span["action"] == "riding a bike" and span["top_label"] == "unicycle"]
    assert {*shown(page)} == {span["id"] for span in found}
    assert 0 < len(found) < len(spans)


def test_a_card_tells_what_is_known(opened, spans):
    page = opened("#/clips").page
    best = max(spans, key=lambda span: span["score"])
    text = page.locator(".card").first.inner_text()
    for part in (
        best["action"],
        best["source"].rpartition("/")[2],
        best["top_label"],
        f"rank {best['rank']}",
        f"{cut_off(best['score']):g}",
    ):
        assert part in text
    until(lambda: page.evaluate("document.querySelector('.card img').naturalWidth > 0"))


@pytest.mark.parametrize("place", ["disk", "server"])
def test_a_clip_plays_from_disk_and_from_a_server(ran, open_page, place):
    if place == "disk":
        one = open_page(ran[0] / "output/report/index.html")
        go(one.page, "#/clips")
        one.page.locator(".card .screen").first.click()
        assert plays(one.page, ".card video")
        assert (one.errors, one.external()) == ([], [])
        return
    with folder_server(ran[0] / "output") as url:
        one = open_page(f"{url}/report/index.html#/clips")
        one.page.locator(".card .screen").first.click()
        assert plays(one.page, ".card video")
        one.page.get_by_role("link", name="responses over time").first.click()
        # the video itself lies elsewhere on the machine: its clip stands for it
        until(lambda: "this is its clip" in one.page.locator("main").inner_text())
        until(lambda: one.page.locator(".plot canvas").count() == 1)
        assert (one.errors, one.external()) == ([], [])


def test_the_keyboard_alone_suffices(opened):
    page = opened().page
    page.keyboard.press("Tab")  # over the link that skips to the content
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    until(lambda: page.locator("#search").count() == 1)
    page.keyboard.press("/")
    page.keyboard.type("wearing")
    until(lambda: len(shown(page)) == 6)
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('screen')"):
            break
    first = page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") != first
    page.keyboard.press("Enter")
    assert plays(page, ".card video")


def moved(page, score):
    """Moves the slider to about a score; returns the threshold, and how many clips and videos are said to remain."""
    slider = page.get_by_label("threshold", exact=True)
    slider.evaluate(
        "(slider, score) => { const best = Number(document.querySelector('.histogram').getAttribute('aria-label')"
        ".match(/to ([\\d.e-]+)$/)[1]); slider.value = Math.round(Math.sqrt(score / best) * 1000);"
        "slider.dispatchEvent(new Event('input', { bubbles: true })); }",
        score,
    )
    drawn(page)
    return page.get_by_label("as an option").input_value(), remaining(page)


def remaining(page):
    """Returns how many clips and videos are said to remain."""
    numbers = re.findall(r"(\d+) of \d+ (?:clip|span|video)s?", page.locator(".threshold output").inner_text())
    return tuple(map(int, numbers))


@pytest.mark.parametrize("score", [0.0005, 0.02, 0.4])
def test_the_slider_counts_what_a_run_with_that_threshold_gives(opened, ran, spans, tmp_path, score):
    folder, given = ran
    page = opened("#/clips").page
    option, (clips, videos) = moved(page, score)
    assert page.locator(".card.out").count() == len(spans) - clips
    shutil.copytree(folder / "output", tmp_path / "output")
    assert main([*given, f"--output={tmp_path}/output", option, "--replace"]) == 0
    rerun = read_jsonl(tmp_path / "output/spans.jsonl")
    assert (len(rerun), len({span["key"] for span in rerun})) == (clips, videos)
    assert 0 < clips < len(spans)
    page.get_by_label("show", exact=True).select_option("those that fall out")
    drawn(page)
    assert {*shown(page)} == {span["id"] for span in spans} - {span["id"] for span in rerun}


def test_the_slider_counts_thresholds_of_rows_too(tmp_path, open_page, colour_spec):
    scene_video(tmp_path / "a.mp4", ("grey", 2), ("red", 2), ("blue", 2))
    asks = {"none": [None], "own": [0.0], "both": [None, 0.0], "high": [0.99]}
    rows = [
        {"action": action, "classes": ["green"] if action == "both" else ["red"], "path": f"{tmp_path}/{where}.mp4"}
        | ({} if score is None else {"min_score": score})
        for action, scores in asks.items()
        for score, where in zip(scores, "a?", strict=False)
    ]
    given = arguments(tmp_path, rows, colour_spec, "--clip_seconds=1", "--top_k=3", "--cut=none")
    assert main(given) == 0
    page = open_page(tmp_path / "output/report/index.html").page
    go(page, "#/clips")
    option, (clips, _) = moved(page, 0.5)
    assert "which wins over the option" in page.locator(".threshold").inner_text()
    assert main([*given, option, "--replace"]) == 0
    assert len(read_jsonl(tmp_path / "output/spans.jsonl")) == clips


def test_the_cell_of_an_action_is_what_its_rows_then_give(tmp_path, open_page, colour_spec):
    scene_video(tmp_path / "a.mp4", ("grey", 2), ("red", 2), ("blue", 2))
    row = {"action": "own", "classes": ["red"], "path": f"{tmp_path}/a.mp4"}
    more = ("--clip_seconds=1", "--top_k=3", "--cut=none", "--min_score=0.9")
    assert main(arguments(tmp_path, [{**row, "min_score": 1e-9}], colour_spec, *more)) == 0
    page = open_page(tmp_path / "output/report/index.html").page
    go(page, "#/clips?action=own")
    until(lambda: page.locator(".threshold output").count() == 1)
    assert page.get_by_label("threshold as a number").input_value() == "1e-9"
    assert page.get_by_label("as an option").count() == 0  # it means nothing to these rows
    page.get_by_label("threshold as a number").fill("0.5")
    page.keyboard.press("Tab")
    cell = page.get_by_label("as the cell min_score of a row").input_value()
    (clips, _) = remaining(page)
    assert main(arguments(tmp_path, [{**row, "min_score": cell}], colour_spec, *more)) == 0
    assert len(read_jsonl(tmp_path / "output/spans.jsonl")) == clips < 3
    # a threshold below that of the run: what it would bring is not there
    page.get_by_label("threshold as a number").fill("0")
    page.keyboard.press("Tab")
    assert "are not in this output" in page.locator(".threshold").inner_text()


def test_without_clips_the_videos_themselves_are_the_pictures(tmp_path, open_page, ran):
    rows = [{"action": "riding a bike", "path": f"{ran[0]}/videos/bikes.mp4", "classes": LABELS["riding a bike"]}]
    assert main(arguments(tmp_path, rows, "lite0", "--clip_seconds=2", "--cut=none")) == 0
    one = open_page(tmp_path / "output/report/index.html")
    go(one.page, "#/clips")
    until(lambda: one.page.evaluate("document.querySelector('.card video')?.readyState >= 2"))
    strongest = max(read_jsonl(tmp_path / "output/spans.jsonl"), key=lambda span: span["score"])
    assert one.page.evaluate("document.querySelector('.card video').currentTime") == strongest["peak_seconds"]
    assert "2 spans" in one.page.locator("main").inner_text()
    one.page.locator(".card .screen").first.click()
    until(lambda: one.page.evaluate("document.querySelector('.player')?.currentTime") == strongest["peak_seconds"])
    assert (one.errors, one.external()) == ([], [])


def test_strange_names_and_places_are_answered(tmp_path, open_page, colour_spec):
    names = ["__proto__", "constructor", "2024", "a/b%c#d?e'f\"g", "x" * 200]
    video = tmp_path / "a #1% 'b'.mp4"
    scene_video(video, ("grey", 1), ("red", 2), ("blue", 1))
    rows = [{"action": name, "classes": ["red"], "path": str(video)} for name in names]
    assert main(arguments(tmp_path, rows, colour_spec, "--clip_seconds=1", "--top_k=1")) == 0
    one = open_page(tmp_path / "output/report/index.html", viewport={"width": 390, "height": 800})
    page = one.page
    for place in ("#/constructor", "#/__proto__", "#/video/%", "#/video/none"):
        go(page, place)
        assert page.locator("main h2").count() >= 1
    go(page, "#/clips")
    until(lambda: page.locator(".card").count() == len(names))
    assert page.get_by_label("action", exact=True).locator("option").first.inner_text() == "all actions"
    until(lambda: page.evaluate("document.querySelector('.card img').naturalWidth > 0"))
    page.get_by_role("link", name="responses over time").first.click()
    until(lambda: page.locator(".plot canvas").count() == 1)
    assert {text.strip() for text in page.locator(".legend button").all_inner_texts()} == {*names}
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    until(lambda: page.evaluate("document.querySelector('.player').readyState >= 1"))
    assert (one.errors, one.external()) == ([], [])


def test_a_click_on_the_curve_seeks_and_the_pointer_tells_the_best_label(opened, ran):
    page = opened("#/clips").page
    page.get_by_label("search", exact=True).fill("bikes")
    page.get_by_role("link", name="responses over time").first.click()
    until(lambda: page.locator(".plot .u-over").count() == 1)
    until(lambda: page.evaluate("document.querySelector('.player').readyState >= 1"))
    box = page.locator(".plot .u-over").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.up()
    until(lambda: abs(page.evaluate("document.querySelector('.player').currentTime") - 7.5) < 0.6)
    (track,) = (ran[0] / "output/report/curves").glob("file-bikes*.js")
    curve = curves.read(str(ran[0] / "output"), track.stem)
    nearest = curve["times"].index(page.evaluate("document.querySelector('.player').currentTime"))
    said = page.locator("[data-pointer]").inner_text()
    assert f"best label {curve['names'][curve['labels'][nearest]]}" in said
    page.locator(".plot [role=application]").focus()
    page.keyboard.press("ArrowLeft")
    until(lambda: page.evaluate("document.querySelector('.player').currentTime") < 7.2)
    page.locator(".spans button").first.click()
    until(lambda: not page.evaluate("document.querySelector('.player').paused"))


@pytest.fixture(scope="module", params=["mark", "drop"])
def with_twins(request, tmp_path_factory):
    """The folder of a run over a video in two containers, another moment of it, and another video."""
    folder = tmp_path_factory.mktemp("twins")
    (folder / "videos").mkdir()
    for name in ("bikes", "bigbuckbunny"):
        shutil.copy(sample_videos() / f"{name}.mp4", folder / "videos")
    remux(folder / "videos/bikes.mp4", folder / "videos/again.mkv")
    rows = [{"action": "riding a bike", "path": f"{folder}/videos/*", "classes": LABELS["riding a bike"]}]
    options = ("--clip_seconds=3", "--top_k=1", f"--duplicates={request.param}")
    assert main(arguments(folder, rows, "lite0", *options)) == 0
    return folder / "output", request.param


def test_groups_stand_side_by_side_with_what_ties_them(with_twins, open_page):
    output, mode = with_twins
    one = open_page(output / "report/index.html")
    go(one.page, "#/duplicates")
    page = one.page
    (kept,) = [row for row in read_jsonl(output / "spans.jsonl") if row["duplicate_group"] and row["kept"]]
    (left,) = [
        row
        for name in ("spans", "dropped")
        if (output / f"{name}.jsonl").exists()
        for row in read_jsonl(output / f"{name}.jsonl")
        if row["left_out_by"]
    ]
    assert shown(page) == [kept["id"], left["id"]]
    first, second = page.locator(".group .card").all()
    assert "kept" in first.inner_text()
    assert "left out" in second.inner_text()
    assert f"tied by {left['nearest_similarity']:.3f} to {Path(kept['source']).name}" in second.inner_text()
    assert (
        f"2 clips kept, 1 duplicates {'marked' if mode == 'mark' else 'dropped'}" in page.locator("main").inner_text()
    )
    second.locator("button.screen").click()  # its file is where the page says
    until(lambda: second.locator("video").evaluate("video => video.readyState >= 2 && video.videoWidth > 0"))
    assert axe_violations(page) == []
    assert (one.errors, one.external()) == ([], [])


def test_the_slider_of_similarity_counts_what_is_that_near(with_twins, open_page):
    output, _ = with_twins
    one = open_page(output / "report/index.html")
    go(one.page, "#/duplicates")
    told, option = one.page.locator(".threshold output"), one.page.get_by_label("as an option")
    assert told.inner_text() == "2 of 3 clips have a neighbour at 0.930 or nearer"
    nearest = json.loads((output / "summary.json").read_text())["compared"]["nearest_similarity"]
    low = min(map(float, nearest))
    one.page.get_by_label("similarity", exact=True).fill(str(max(round(low * 1000), -1000)))
    assert told.inner_text() == f"3 of 3 clips have a neighbour at {low:.3f} or nearer"
    assert option.input_value() == f"--duplicate_similarity={low:g}"


def test_failures_have_their_remedy(opened):
    text = opened("#/failures").page.locator("main").inner_text()
    assert "1 unreadable_video in DownloadVideos" in text
    assert "broken.mp4" in text


@pytest.mark.parametrize("options", [{}, DARK, PHONE, {**PHONE, **DARK}], ids=["", "dark", "phone", "phone dark"])
@pytest.mark.parametrize("place", ["", "clips", "videos", "failures", "video"])
def test_everybody_can_use_it_and_nothing_is_cut_off(opened, spans, options, place):
    key = max(spans, key=lambda span: span["score"])["key"]
    one = opened(f"#/video/{key}" if place == "video" else f"#/{place}", **options)
    if place == "video":
        until(lambda: one.page.locator(".plot canvas").count() == 1)
    assert axe_violations(one.page) == []
    assert one.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    kind = "phone" if "has_touch" in options else "desktop"
    one.screenshot(f"report-{place or 'first'}-{kind}{'-dark' if 'color_scheme' in options else ''}", full_page=False)


def many(count):
    """Returns the data of a page with so many clips, of which titles are hostile."""
    hostile = "<script>alert(1)</script><img src=x onerror=alert(2)> \u202eDNE " + "long " * 2000
    fields = ("id", "action", "key", "start_seconds", "end_seconds", "peak_seconds", "score", "rank", "top_label")
    fields += ("top_score", "clip", "poster", "clip_flags", "source", "title", "channel", "licence", "shot_boundaries")
    row = lambda n: (  # noqa: E731
        f"id{n}", f"action {n % 7}", f"key{n}", 1.0, 3.0, 2.0, (count - n) / count, 1, "label", 0.5,
        f"clips/gone/{n}.mp4", f"clips/gone/{n}.jpg", [], "javascript:alert(3)", hostile[:300], "c", "", 0,
    )  # fmt: skip
    numbers = {"rows": 1, "spans": -(-count // 7), "clips": 0, "best": 1.0, "median": 0.5}
    actions = {f"action {n}": numbers for n in range(7)}
    summary = {"funnel": {"rows": {"read": 1}}, "actions": actions, "settings": {}, "weak": 0.1, "dropped": {}}
    videos = {"fields": ("key", "outcome", "code", "source", "uri", "samples", "spans"), "rows": []}
    videos["rows"] = [(f"key{n}", "result", "", "x", "", 1, 1) for n in range(count)]
    spans = {"fields": fields, "rows": [row(n) for n in range(count)]}
    return {"summary": summary, "spans": spans, "videos": videos, "failures": []}


def test_ten_thousand_clips_open_at_once_and_hostile_texts_are_texts(tmp_path, open_page):
    path = tmp_path / "report/index.html"
    path.parent.mkdir()
    path.write_bytes(report_page.rendered(many(10_000), "<b>about</b>"))
    one = open_page(path)
    loaded = one.page.evaluate("performance.getEntriesByType('navigation')[0].domComplete")
    assert loaded < 10_000  # 2 s are aimed at; `make bench` and the closing note measure, this only notices a hang
    go(one.page, "#/clips")
    until(lambda: one.page.locator(".card").count() == 60)
    assert "page 1 of 167" in one.page.locator("main").inner_text()
    one.page.get_by_role("button", name="next").click()
    until(lambda: shown(one.page)[:1] == ["id60"])
    assert one.page.evaluate("document.activeElement.textContent") == "next"  # and not lost with the button
    assert "null" not in one.page.locator("main").inner_text()
    one.page.get_by_label("action", exact=True).select_option("action 3")
    until(lambda: "1,429 clips" in one.page.locator("main").inner_text())
    assert one.page.locator("main script, main [onerror]").count() == 0
    assert "<script>alert(1)</script>" in one.page.locator(".card").first.inner_text()
    assert one.page.locator("a[href^=javascript]").count() == 0
    assert one.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # of clips whose files are gone it is said
    until(lambda: "its picture is missing" in one.page.locator(".card").first.inner_text())
    one.page.locator(".card .screen").first.click()
    until(lambda: "the clip's file is missing" in one.page.locator(".card").first.inner_text())
    assert one.external() == []
    assert all("ERR_FILE_NOT_FOUND" in error for error in one.errors)


@pytest.mark.parametrize("failures", [[], ["only"]], ids=["nothing", "only failures"])
def test_a_page_without_clips_says_so(tmp_path, open_page, failures):
    data = many(0)
    data["summary"]["actions"] = {}
    data["failures"] = [
        {"stage": "S", "code": code, "category": "input", "number": 2, "examples": ["x"], "remedy": "r"}
        for code in failures
    ]
    path = tmp_path / "index.html"
    path.write_bytes(report_page.rendered(data, ""))
    one = open_page(path)
    for place in ("", "clips", "videos", "failures", "video/none"):
        go(one.page, f"#/{place}")
        assert one.page.locator("main h2").count() >= 1
    assert one.errors == []
