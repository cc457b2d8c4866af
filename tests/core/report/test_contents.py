"""What the page shows of outputs of any size: all of a small one, the strongest of a huge one, evenly by action."""

import html
import json

import pytest

from clipscout.transforms.core.report import contents, page


def put(folder, spans, videos=()):
    (folder / "spans.jsonl").write_text("".join(json.dumps(span) + "\n" for span in spans))
    (folder / "videos.jsonl").write_text("".join(json.dumps(video) + "\n" for video in videos))
    counts = {}
    for span in spans:
        counts[span["action"]] = counts.get(span["action"], 0) + 1
    actions = {action: {"spans": count} for action, count in counts.items()}
    return {"actions": actions, "funnel": {}, "failures": {}, "messages": {}}


def span(action, score, key="k", **more):
    return {"id": f"{action}-{score}", "action": action, "key": key, "score": score, **more}


def column(table, name):
    return [row[table["fields"].index(name)] for row in table["rows"]]


def test_of_huge_outputs_the_strongest_are_shown_evenly(tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "MOST_SPANS", 10)
    spans = [span("few", 0.01 * place) for place in range(2)] + [span("many", place) for place in range(50)]
    spans += [span("more", place / 7) for place in range(60)]
    data = contents.collected(str(tmp_path), put(tmp_path, spans))
    found = column(data["spans"], "action")
    assert (found.count("few"), found.count("many"), found.count("more")) == (2, 4, 4)
    scores = column(data["spans"], "score")
    assert scores == sorted(scores, reverse=True)
    assert scores[:4] == [49, 48, 47, 46]


def test_videos_of_the_spans_come_first_and_the_best_of_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "MOST_OTHER_VIDEOS", 2)
    videos = [{"key": f"v{place}", "best_responses": {"a": place / 10}} for place in range(6)]
    videos += [{"key": "old"}]  # of a version that told none
    data = contents.collected(str(tmp_path), put(tmp_path, [span("a", 0.9, "v0"), span("a", 0.2, "old")], videos))
    assert column(data["videos"], "key") == ["v0", "old", "v5", "v4"]


def test_long_texts_of_sites_are_cut_and_addresses_are_not(tmp_path):
    long = "x" * 5000
    put_ = put(tmp_path, [span("a", 1.0, title=long, source=f"https://host/{long}")])
    data = contents.collected(str(tmp_path), put_)
    assert len(column(data["spans"], "title")[0]) < 400
    assert column(data["spans"], "source") == [f"https://host/{long}"]


def test_failures_tell_their_number_examples_and_remedy(tmp_path):
    summary = put(tmp_path, [])
    summary["failures"] = {"FindVideos": {"no_match": 2}, "DownloadVideos": {"not_found": 5, "of_a_later_version": 1}}
    summary["messages"] = {"no_match": ["a", "b"]}
    first, second, third = contents.collected(str(tmp_path), summary)["failures"]
    assert (first["code"], first["number"], first["category"]) == ("not_found", 5, "permanent")
    assert (second["examples"], second["remedy"].startswith("correct")) == (["a", "b"], True)
    assert (third["code"], third["remedy"]) == ("of_a_later_version", "")


@pytest.mark.parametrize("text", ["</script><script>alert(1)</script>", "<!--<script>", "a & b", "\u202e\u2028x"])
def test_no_text_ends_the_element_that_holds_the_data(text):
    written = page.rendered({"text": text}, text).decode()
    _, _, rest = written.partition('id="data">')
    data, _, _ = rest.partition("</script>")
    assert json.loads(data) == {"text": text}
    assert not {"<", ">", "&", "\u202e", "\u2028"} & {*data}


def test_scripts_run_by_their_digest_alone():
    written = html.unescape(page.rendered({}, "").decode())
    assert "unsafe-inline'; img" in written
    assert written.count("'sha256-") == 2
    assert "script-src 'unsafe" not in written
