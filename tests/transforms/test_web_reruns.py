"""A second run over the web: what was refused, failed or listed, and what another option or site makes of it."""

import json

from tests.conftest import read_jsonl
from tests.web_jobs import by_key, summary_of, video


def test_a_blocked_lane_stops_and_the_next_run_goes_on(site, job):
    catalogue = {f"v{place}": video("bus", fault="429" if place else "") for place in range(7)}
    server = site(catalogue)
    rows = [{"action": "red", "query": "bus"}]
    options = ("--download_lanes=1", "--blocked_limit=2", "--cut=none")
    status, output = job(rows, *options)
    assert status == 0
    asked = [path for path in server.log() if path.startswith("/media")]
    assert asked == [f"/media/v{place}/144/video.mp4" for place in range(3)]
    summary = summary_of(output)
    assert summary["failures"]["DownloadVideos"] == {"blocked": 6}
    assert summary["next_run"] == 6
    attempts = {row["key"][-2:]: row["attempts"] for row in read_jsonl(output / "failures.jsonl")}
    assert attempts == {"v1": 1, "v2": 1, "v3": 0, "v4": 0, "v5": 0, "v6": 0}
    server.set({name: {**fields, "fault": ""} for name, fields in catalogue.items()})
    assert job(rows, *options)[0] == 0
    assert summary_of(output)["funnel"]["requests"]["stored"] == 7
    assert server.log()["/media/v0/144/video.mp4"] == 1


def test_a_rerun_leaves_permanent_failures_alone_unless_told(site, job):
    catalogue = {
        "gone": video("bee", page_error="This video has been removed by the uploader"),
        "private": video(
            "bee", page_error="Private video. Sign in if you\N{RIGHT SINGLE QUOTATION MARK}ve been granted access"
        ),
        "flaky": video("bee", fault="500"),
    }
    server = site(catalogue)
    rows = [{"action": "red", "query": "bee"}]
    assert job(rows, "--cut=none")[0] == 1  # everything failed
    server.set({name: {"title": "bee"} for name in catalogue})
    _, output = job(rows, "--cut=none")
    codes = {key.removeprefix("localvideo-"): row["code"] for key, row in by_key(output).items()}
    assert codes == {"gone": "removed", "private": "private", "flaky": ""}
    assert server.log()["/page/gone"] == 1
    _, output = job(rows, "--cut=none", "--retry_failed=removed")
    codes = {key.removeprefix("localvideo-"): row["code"] for key, row in by_key(output).items()}
    assert codes == {"gone": "", "private": "private", "flaky": ""}


def test_what_an_option_can_end_is_tried_again_with_another_value(site, job, tmp_path):
    catalogue = {
        "wall": video("bee", login=True),
        "members": video("bee", page_error="Join this channel to get access to members-only content"),
        "gone": video("bee", page_error="This video has been removed by the uploader"),
        "slow": video("bee", fault="drip"),
    }
    server = site(catalogue)
    rows = [{"action": "red", "query": "bee"}]
    options = ["--cut=none", "--download_timeout_seconds=3"]
    _, output = job(rows, *options)
    codes = {"wall": "login_required", "members": "members_only", "gone": "removed", "slow": "fetch_timeout"}
    assert {key[11:]: row["code"] for key, row in by_key(output).items()} == codes
    asked = {f"/page/{name}": 1 for name in codes}
    job(rows, *options)
    assert {path: count for path, count in server.log().items() if path.startswith("/page")} == asked

    server.set({name: {"title": "bee"} for name in codes})
    options[1] = "--download_timeout_seconds=20"
    _, output = job(rows, *options)
    assert {key[11:]: row["code"] for key, row in by_key(output).items()} == {**codes, "slow": ""}
    cookies = tmp_path / "cookies.txt"
    cookies.write_text("# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t2147483647\tsession\tvalue\n")
    _, output = job(rows, *options, f"--cookies={cookies}")
    assert {key[11:]: row["code"] for key, row in by_key(output).items()} == {
        **dict.fromkeys(codes, ""),
        "gone": "removed",
    }


def test_hosts_of_ones_own_are_asked_once_they_are_named(site, job):
    server = site({"a": video("fox")})
    rows = [{"action": "red", "url": f"{server.url}/watch/a"}]
    _, output = job(rows, "--allow_private_hosts=false", "--cut=none")
    assert by_key(output)["localvideo-a"]["code"] == "refused_address"
    _, output = job(rows, "--cut=none")
    assert by_key(output)["localvideo-a"]["outcome"] == "result"


def test_a_half_written_file_is_never_taken_for_a_video(site, job):
    server = site({"a": video("ant")})
    rows = [{"action": "red", "query": "ant"}]
    _, output = job(rows, "--cut=none")
    (output / "videos" / "localvideo-a.json").unlink()
    (output / "videos" / "localvideo-a.mp4").write_bytes(b"half")
    _, output = job(rows, "--cut=none")
    assert by_key(output)["localvideo-a"]["outcome"] == "result"
    assert server.log()["/media/a/144/video.mp4"] == 2


def test_a_page_that_is_not_understood_today_keeps_yesterdays_results(site, job):
    server = site({"a": video("yak"), "b": video("yak", malformed="localvideo:a")})
    rows = [{"action": "red", "query": "yak"}]
    job(rows, "--cut=none")
    server.set({"a": video("yak", malformed="breaks the list")})
    status, output = job(rows, "--cut=none")
    assert status == 0
    assert {key: row["outcome"] for key, row in by_key(output).items()} == {"localvideo-a": "result"}
    assert read_jsonl(output / "failures.jsonl") == []


def test_a_site_that_refuses_today_keeps_yesterdays_results(site, job):
    catalogue = {"a": video("yak"), "b": video("yak", page_error="This video has been removed by the uploader")}
    server = site(catalogue)
    rows = [{"action": "red", "query": "yak"}]
    _, output = job(rows)
    clips = sorted(output.glob("clips/*/*.mp4"))
    assert clips
    server.__exit__()
    status, _ = job(rows)
    assert status == 0
    assert {key: row["outcome"] for key, row in by_key(output).items()} == {
        "localvideo-a": "result",
        "localvideo-b": "failed",
    }
    assert sorted(output.glob("clips/*/*.mp4")) == clips


def test_replaced_rules_hold_for_stored_videos_too(site, job):
    site(
        {
            "a": video("gnu", heights=[144, 360]),
            "b": video("gnu", license="Creative Commons Attribution", heights=[144, 360]),
        }
    )
    rows = [{"action": "red", "query": "gnu"}]
    job(rows, "--cut=none")
    _, output = job(rows, "--cut=none", "--replace", "--licence=creative_commons", "--max_height=360")
    rows_now = by_key(output)
    assert (rows_now["localvideo-a"]["outcome"], rows_now["localvideo-a"]["code"]) == ("rejected", "licence")
    assert json.loads((output / "videos/localvideo-b.json").read_text())["facts"]["format_id"] == "360"
