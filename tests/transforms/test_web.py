"""Queries become videos: real yt-dlp against a loopback site with faults, through the whole job."""

import json

import pyarrow.parquet as pq
import pytest

from tests.conftest import read_jsonl
from tests.web_jobs import by_key, summary_of, video

FAULTS = {
    "403": ("blocked", 1),
    "404": ("not_found", 1),
    "429": ("blocked", 1),
    "500": ("server_error", 2),
    "500 once": ("", 2),
    "truncated": ("short_read", 2),
    "drip": ("fetch_timeout", 1),
    "stall": ("fetch_timeout", 1),
    "private redirect": ("refused_address", 1),
    "no length": ("", 1),
    "html": ("unreadable_video", 1),
    "playlist": ("unreadable_video", 1),
    "large": ("too_large", 1),
    "large without length": ("too_large", 1),
}


def slug(fault):
    return fault.replace(" ", "_")


def catalogue_of_faults():
    special = {"html": {"media": "page.mp4"}, "playlist": {"media": "list.mp4"}, "large": {"media": "large.mp4"}}
    special["large without length"] = {"media": "large.mp4", "fault": "no length"}
    return {
        slug(fault): video("fault", **{"fault": "" if fault in special else fault, **special.get(fault, {})})
        for fault in FAULTS
    }


def test_every_fault_has_its_outcome_and_leaves_nothing(site, job):
    server = site(catalogue_of_faults())
    status, output = job([{"action": "red", "query": "fault"}], "--download_lanes=4", "--cut=none")
    assert status == 0
    rows = by_key(output)
    failures = {row["key"]: row for row in read_jsonl(output / "failures.jsonl")}
    print(f"{'fault':<22}{'outcome':<10}{'code':<18}attempts")
    for fault, (code, attempts) in FAULTS.items():
        key = f"localvideo-{slug(fault)}"
        print(f"{fault:<22}{rows[key]['outcome']:<10}{rows[key]['code']:<18}{attempts}")
        assert rows[key]["code"] == code, failures.get(key)
        assert rows[key]["outcome"] == {"": "result", "too_large": "rejected"}.get(code, "failed")
        stored = sorted(path.name for path in (output / "videos").glob(f"{key}.*"))
        assert stored == ([] if code else [f"{key}.json", f"{key}.mp4"])
        if code:
            assert failures[key]["attempts"] == attempts
            assert failures[key]["message"]
    log = server.log()
    assert log["/media/500/144/video.mp4"] == 2
    assert log["/media/404/144/video.mp4"] == 1
    assert not [path for path in output.rglob("*") if path.name.startswith(".")]
    assert summary_of(output)["failures"]["DownloadVideos"]["blocked"] == 2


def test_from_phrases_alone_to_clips(site, job, tmp_path):
    server = site(
        {
            "a": video("making pizza at home", channel_id="c1"),
            "b": video("Making PIZZA fast", channel_id="c1", live_status="is_live"),
            "c": video("pizza making contest", channel_id="c2", duration=9000),
            "d": video("how to make dough, making pizza", channel_id="c2", live_status="is_upcoming"),
            "e": video("pizza making, a film", license="Creative Commons Attribution", channel_id="c3"),
            "f": video("making pizza in a test set", channel_id="c4"),
            "g": video("unrelated", channel_id="c5"),
        }
    )
    exclude = tmp_path / "test_set.csv"
    exclude.write_text("label,youtube_id,time_start,time_end,split\nmaking pizza,f,0,10,test\n")
    rows = [
        {"action": "red", "query": "making pizza"},
        {"action": "red", "query": "pizza making"},
        {"action": "green", "query": "film"},
        {"action": "red", "url": f"{server.url}/list/c3"},
        {"action": "red", "query": "nothing like this"},
    ]
    status, output = job(rows, "--max_video_seconds=600", f"--exclude={exclude}")
    assert status == 0
    videos = by_key(output)
    codes = {key.removeprefix("localvideo-"): row["code"] for key, row in videos.items()}
    assert codes == {"a": "", "b": "live", "c": "too_long", "d": "upcoming", "e": "", "f": "excluded"}
    asks = {(ask["action"], ask["found_by"], ask["rank"]) for ask in videos["localvideo-e"]["asks"]}
    assert {("red", "pizza making", 5), ("green", "film", 1), ("red", f"{server.url}/list/c3", 1)} <= asks
    spans = read_jsonl(output / "spans.jsonl")
    assert {row["key"] for row in spans if row["action"] == "red"} == {"localvideo-a", "localvideo-e"}
    assert all((output / row["clip"]).is_file() for row in spans)
    funnel = summary_of(output)["funnel"]
    assert funnel["rows"] == {"read": 5, "failed": 1, "matched": 4}
    assert funnel["requests"] == {"unique": 6, "excluded": 1, "filtered": 3, "failed": 0, "in_place": 0, "stored": 2}
    assert {path for path in server.log() if path.startswith("/media")} == {
        "/media/a/144/video.mp4",
        "/media/e/144/video.mp4",
    }
    record = json.loads((output / "videos" / "localvideo-e.json").read_text())
    assert record["content"].startswith("sha256:")
    assert record["facts"]["license"] == "Creative Commons Attribution"
    assert record["facts"]["yt_dlp_version"]


def test_licence_is_rechecked_on_the_full_information(site, job):
    site({"a": video("cat", license="Creative Commons Attribution licence (reuse allowed)"), "b": video("cat")})
    status, output = job([{"action": "red", "query": "cat"}], "--licence=creative_commons", "--cut=none")
    assert status == 0
    assert {key: row["code"] for key, row in by_key(output).items()} == {"localvideo-a": "", "localvideo-b": "licence"}


def test_channel_cap_keeps_the_best_ranks(site, job):
    site({f"v{place}": video("dog", channel_id=f"c{place % 2}") for place in range(6)})
    status, output = job([{"action": "red", "query": "dog"}], "--max_per_channel=1", "--cut=none")
    assert status == 0
    kept = {key for key, row in by_key(output).items() if not row["code"]}
    assert kept == {"localvideo-v0", "localvideo-v1"}
    assert {row["code"] for row in by_key(output).values()} == {"", "channel_cap"}


def test_max_videos_of_a_row_wins(site, job):
    site({f"v{place}": video("dog") for place in range(6)})
    rows = [{"action": "red", "query": "dog"}, {"action": "green", "query": "dog", "max_videos": 4}]
    status, output = job(rows, "--max_videos=2", "--cut=none")
    assert status == 0
    assert sorted(by_key(output)) == [f"localvideo-v{place}" for place in range(4)]


def test_takes_the_smallest_format_that_serves_and_none_above_the_cap(site, job):
    catalogue = {
        "small": video("bird", heights=[72, 144, 360]),
        "large": video("bird", heights=[480, 1080]),
        "huge": video("bird", heights=[1080, 2160]),
    }
    server = site(catalogue)
    status, output = job([{"action": "red", "query": "bird"}], "--cut=none")
    assert status == 0
    media = {path for path in server.log() if path.startswith("/media")}
    assert media == {"/media/small/144/video.mp4", "/media/large/480/video.mp4"}
    assert by_key(output)["localvideo-huge"]["code"] == "no_format"


def test_pages_of_every_kind_become_videos_and_a_rerun_fetches_none_again(site, job, tmp_path):
    cc = {"license": "Creative Commons Attribution", "heights": [144, 360]}
    server = site(
        {
            "single": video("x", **cc),
            "closed": video("x", heights=[144]),
            "both": video("x", parts=["p1", "p2"]),
            **{name: video("x", channel_id="c1", **cc) for name in ("p1", "p2")},
            "inner": video("needle", malformed="localvideo:p1"),
            "odd": video("needle", malformed="ftp://127.0.0.1/a"),
            "excluded": video("x", **cc),
        }
    )
    exclude = tmp_path / "exclude.txt"
    exclude.write_text("localpost-excluded\n")
    pages = ["post/single", "post/closed", "post/both", "post/excluded", "post/gone", "home/c1", "list/c1"]
    rows = [{"action": "red", "url": f"{server.url}/{page}"} for page in pages]
    rows += [{"action": "red", "query": "needle"}]
    options = ("--licence=creative_commons", f"--exclude={exclude}", "--cut=none")
    status, output = job(rows, *options)
    assert status == 0
    assert {key: row["code"] for key, row in by_key(output).items() if not key.startswith("web-")} == {
        "localpost-single": "",
        "localpost-closed": "licence",
        "localpost-both_1": "",
        "localpost-both_2": "",
        "localpost-excluded": "excluded",
        "localpost-gone": "not_found",
        "localvideo-p1": "",
        "localvideo-p2": "",
    }
    assert [row["code"] for key, row in by_key(output).items() if key.startswith("web-")] == ["scheme_refused"]
    assert {ask["found_by"].rpartition("/")[2] for ask in by_key(output)["localvideo-p1"]["asks"]} == {"c1", "needle"}
    before = server.log()
    assert all("/360/" not in path for path in before)
    assert summary_of(output)["funnel"]["rows"] == {"read": 8, "failed": 0, "matched": 8}
    job(rows, *options)
    after = server.log()
    assert {path: n for path, n in after.items() if path.startswith("/media")} == {
        path: n for path, n in before.items() if path.startswith("/media")
    }
    assert after["/page/single"] == before["/page/single"]


@pytest.mark.parametrize("stated", [False, True])
def test_the_cap_holds_for_what_a_file_is_not_only_for_what_its_site_says(site, job, media, stated):
    server = site({name: video("bird", media="tall.mp4", heights=[144], stated=stated) for name in "ab"})
    rows = [{"action": "red", "query": "bird"}, {"action": "red", "url": f"{server.url}/media/a/144/video.mp4"}]
    status, output = job(rows, "--cut=none", "--max_height_cap=200")
    assert status == 1  # not one video could be had
    assert [row["code"] for row in by_key(output).values()] == ["no_format"] * 3
    assert {row["message"].partition(": ")[2] for row in read_jsonl(output / "failures.jsonl")} == {
        "the smallest format is 640x360, --max_height_cap 200"
    }
    assert not list(output.glob("videos/*"))


def test_numbers_that_are_none_pass_no_filter_and_reach_no_manifest(site, job):
    absurd = (float("nan"), float("inf"), -1.0, 1e300, 10**400)
    site({f"v{place}": video("bird", duration=value) for place, value in enumerate(absurd)})
    asked = {"action": "red", "query": "bird"}
    rows = [asked, {**asked, "mine": float("nan")}, {**asked, "also": [float("inf")]}]
    status, output = job(rows, "--max_video_seconds=10", "--min_video_seconds=2")
    assert status == 0
    assert {row["outcome"] for row in by_key(output).values()} == {"result"}  # as the file says, 3 s
    assert [row["code"] for row in read_jsonl(output / "failures.jsonl")] == ["bad_row"] * 2

    def refuse(name):
        raise AssertionError(f"{name} in {path}")

    for path in (path for path in output.rglob("*") if path.suffix in (".json", ".jsonl")):
        for text in path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]:
            json.loads(text, parse_constant=refuse)
    for path in output.glob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            for name in {"asks", "facts", "listed"} & {*row}:
                json.loads(row[name], parse_constant=refuse)
    refused = job(rows, "--max_video_seconds=2", output="other")[1]
    assert {row["code"] for row in by_key(refused).values()} == {"too_long"}


def test_private_addresses_are_refused_by_default(site, job):
    server = site({"a": video("fox")})
    rows = [{"action": "red", "query": "fox"}, {"action": "red", "url": f"{server.url}/watch/a"}]
    status, output = job(rows, "--allow_private_hosts=false", "--cut=none")
    assert status == 1  # everything failed
    failures = {row["stage"]: row["code"] for row in read_jsonl(output / "failures.jsonl")}
    assert failures == {"FindVideos": "refused_address", "DownloadVideos": "refused_address"}
    assert not server.log()


def test_a_blocked_search_is_a_failure_of_its_row(site, job):
    site({"a": video("blocked or not")})
    status, output = job([{"action": "red", "query": "blocked"}], "--cut=none")
    assert status == 1  # not one row led to a video
    (failure,) = read_jsonl(output / "failures.jsonl")
    assert (failure["stage"], failure["code"]) == ("FindVideos", "blocked")


def test_cookies_are_sent_and_appear_nowhere(site, job, tmp_path, capfd):
    server = site({"a": video("owl"), "b": video("owl", fault="500")})
    cookies = tmp_path / "cookies.txt"
    cookies.write_text(
        "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t2147483647\tsession\ttop-secret-value\n"
    )
    before = cookies.read_bytes()
    _, output = job([{"action": "red", "query": "owl"}], f"--cookies={cookies}", "--cut=none")
    assert {entry["cookie"] for entry in server.headers()} == {"session=top-secret-value"}
    assert cookies.read_bytes() == before
    written = b"".join(path.read_bytes() for path in output.rglob("*") if path.is_file())
    assert b"top-secret-value" not in written
    assert str(cookies).encode() not in written
    printed = capfd.readouterr()
    assert "top-secret-value" not in printed.out + printed.err


def test_a_proxy_from_a_file_is_used_and_its_password_appears_nowhere(site, job, tmp_path, capfd):
    server = site({"a": video("elk")})
    proxy = tmp_path / "proxy.txt"
    proxy.write_text("http://user:hush-hush@127.0.0.1:9\n")  # nothing listens there
    rows = [{"action": "red", "url": f"{server.url}/watch/a"}]
    _, output = job(rows, f"--proxy={proxy}", "--cut=none")
    (failure,) = read_jsonl(output / "failures.jsonl")
    assert (failure["code"], failure["category"]) == ("proxy_failed", "config")
    assert not server.log()
    written = b"".join(path.read_bytes() for path in output.rglob("*") if path.is_file())
    printed = capfd.readouterr()
    assert b"hush-hush" not in written + (printed.out + printed.err).encode()


def test_titles_reach_no_path_and_rows_stay_whole(site, job):
    title = "../../etc/passwd\n\x1b[31m$(touch /tmp/owned) emu"
    site({"a": video(title)})
    _, output = job([{"action": "red", "query": "emu"}], "--cut=none")
    assert sorted(path.name for path in (output / "videos").iterdir()) == ["localvideo-a.json", "localvideo-a.mp4"]
    (row,) = read_jsonl(output / "videos.jsonl")
    assert "\x1b" not in row["facts"]["title"]


def test_short_videos_and_a_lower_cap_are_refused(site, job):
    site({"a": video("cow", duration=3), "b": video("cow", duration=20), "c": video("cow", duration=20, heights=[480])})
    options = ("--min_video_seconds=10", "--max_height_cap=360", "--cut=none")
    status, output = job([{"action": "red", "query": "cow"}], *options)
    assert status == 1  # all that no rule refused
    codes = {key.removeprefix("localvideo-"): row["code"] for key, row in by_key(output).items()}
    # what the site claims of b passes; what the file is does not
    assert codes == {"a": "too_short", "b": "too_short", "c": "no_format"}


@pytest.mark.parametrize(
    ("option", "text", "fault"),
    [
        ("cookies", "this is no cookies file", "line 1 is not '# Netscape HTTP Cookie File'"),
        ("cookies", "# Netscape HTTP Cookie File\n\na.org\tFALSE\t/\tsecret-secret", "line 3 has 4 fields"),
        ("proxy", "user:secret-secret@127.0.0.1:3128", "no URL like http://HOST:PORT"),
        ("proxy", "ftp://secret-secret@127.0.0.1:3128", "no URL like http://HOST:PORT"),
    ],
)
def test_cookies_and_proxies_of_a_wrong_form_stop_the_job_and_appear_nowhere(
    site, job, tmp_path, capfd, option, text, fault
):
    server = site({"a": video("ape")})
    (tmp_path / "file.txt").write_text(text)
    status, output = job([{"action": "red", "url": f"{server.url}/watch/a"}], f"--{option}={tmp_path}/file.txt")
    assert status == 2
    printed = capfd.readouterr()
    assert f"--{option}: " in printed.err
    assert fault in printed.err
    assert "secret" not in printed.out + printed.err
    assert not server.log()
    assert not output.exists()
