"""Lanes in the job: real downloads side by side, what arrives goes on, hosts that refuse are left and come last."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.colours import COLOURS
from tests.conftest import read_jsonl
from tests.jobs import ROOT, SHUFFLES, arguments, main
from tests.media_maker import make_video, stamped
from tests.web_jobs import OPTIONS, by_key, summary_of, video

HOST = "--allow_private_hosts=127.0.0.1,localhost"


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """Videos of different contents, the second half in another colour."""
    folder = tmp_path_factory.mktemp("site")
    for place in range(5):
        colours = [COLOURS["red"]] * (20 + place) + [COLOURS["grey"]] * 20
        picture = lambda index, colours=colours: stamped(index, background=colours[index])  # noqa: E731
        make_video(folder / f"{place}.mp4", len(colours), rate=10, picture=picture)
    return folder


def catalogue(**fields):
    return {f"v{place}": video("bus", media=f"{place}.mp4", **fields) for place in range(5)}


def direct(server, names, host="127.0.0.1"):
    """Returns a row for each video, with the address of its file."""
    return [
        {"action": "red", "url": f"http://{host}:{server.port}/media/{name}/144/video.mp4"} for name in names
    ]  # fmt: skip


@pytest.mark.parametrize("workers", [1, 2])
def test_so_many_downloads_are_under_way_as_there_are_lanes(site, job, workers):
    names = [f"v{place}" for place in range(24)]
    server = site({name: video("bus", media=f"{place % 5}.mp4", wait=0.4) for place, name in enumerate(names)})
    status, output = job(direct(server, names), "--download_lanes=8", "--cut=none", f"--workers={workers}")
    assert status == 0
    assert len([row for row in read_jsonl(output / "videos.jsonl") if row["outcome"] == "result"]) == 24
    assert 6 <= server.most() <= 8
    # the first answer of a direct link is the file
    assert {path: count for path, count in server.log().items() if path.startswith("/media")} == {
        f"/media/{name}/144/video.mp4": 1 for name in names
    }


def test_a_second_fetch_joins_the_lanes_of_the_first(site, job):
    server = site({f"v{place}": video("bus", media=f"{place}.mp4", wait=0.3, heights=[144, 360]) for place in range(5)})
    rows = [{"action": "red", "query": "bus"}]
    status, output = job(rows, "--download_lanes=2", "--clip_max_height=360", "--min_score=0.5", "--top_k=1")
    assert status == 0
    assert server.most() == 2
    assert len(list(output.glob("videos_for_clips/*.mp4"))) == 5
    assert len(list(output.glob("clips/*/*.mp4"))) == 5


@pytest.mark.parametrize("more", [[], ["--clip_max_height=360"]], ids=["once", "and better"])
def test_what_has_arrived_is_cut_and_saved_while_a_site_drips(site, tmp_path, colour_spec, capsys, more):
    fields = {"heights": [144, 360]}
    faulty = {**catalogue(**fields), "v2": video("bus", media="2.mp4", fault="drip", **fields)}
    server = site(faulty)
    rows = [{"action": "red", "query": "bus"}]
    given = [*arguments(tmp_path, rows, colour_spec, *OPTIONS, *more), "--min_score=0.5", "--clip_seconds=1"]
    given += ["--download_timeout_seconds=60", "--top_k=1"]
    output = tmp_path / "output"
    command = [sys.executable, "-m", "pipeline", *given]
    running = subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while len(list(output.glob("clips/*/*.mp4"))) < 4:
        assert running.poll() is None, running.stderr.read()
        assert time.monotonic() < end, sorted(output.rglob("*"))
        time.sleep(0.02)
    assert not (output / "spans.jsonl").exists()
    running.send_signal(signal.SIGINT)
    start = time.monotonic()
    assert "stopped; the same command goes on" in running.communicate(timeout=30)[1]
    assert running.returncode == 130
    assert time.monotonic() - start < 3
    server.set(catalogue(**fields))
    asked = server.log()
    capsys.readouterr()
    assert main(given) == 0
    told = capsys.readouterr().out
    assert re.search(r"reused-videos 4\b", told)
    assert re.search(r"reused-clips 4\b", told)
    new = {path for path, count in server.log().items() if path.startswith("/media") and count > asked.get(path, 0)}
    assert {path.split("/")[2] for path in new} == {"v2"}
    assert len(read_jsonl(output / "spans.jsonl")) == 5


def test_a_host_that_refuses_says_nothing_of_another(site, job):
    names = [f"v{place}" for place in range(5)]
    server = site({**catalogue(fault="403"), **{f"w{place}": video("bus", media=f"{place}.mp4") for place in range(5)}})
    rows = direct(server, names) + direct(server, ["w0", "w1", "w2", "w3", "w4"], host="localhost")
    _, output = job(rows, "--download_lanes=1", "--blocked_limit=2", "--cut=none", HOST)
    outcomes = [row["outcome"] for row in read_jsonl(output / "videos.jsonl")]
    assert (outcomes.count("result"), outcomes.count("failed")) == (5, 5)
    asked = [path for path in server.log() if path.startswith("/media/v")]
    assert len(asked) == 2
    messages = [row["message"] for row in read_jsonl(output / "failures.jsonl") if not row["attempts"]]
    assert len(messages) == 3
    assert all("not tried: 127.0.0.1 refused before" in message for message in messages)


def test_one_lane_serves_hosts_of_every_kind(site, job):
    """One host forbids, one is not there, one forbids a single file; none of them costs another more than its turns."""
    names = [f"v{place}" for place in range(5)]
    server = site({**catalogue(fault="403"), **{f"w{place}": video("bus", media=f"{place}.mp4") for place in range(5)}})
    good = direct(server, ["w0", "w1", "w2", "w3", "w4", "v0"], host="localhost")
    away = [{**row, "url": row["url"].replace("localhost", "127.0.0.2")} for row in direct(server, names, "localhost")]
    rows = [row for some in zip(direct(server, names), away, good, strict=False) for row in some] + good[5:]
    options = ("--download_lanes=1", "--blocked_limit=3", "--download_attempts=1", "--cut=none", f"{HOST},127.0.0.2")
    _, output = job(rows, *options)
    found = {row["source"].split("/")[2].partition(":")[0]: [] for row in read_jsonl(output / "videos.jsonl")}
    for row in read_jsonl(output / "videos.jsonl"):
        found[row["source"].split("/")[2].partition(":")[0]].append(row["code"])
    assert found["127.0.0.1"] == ["blocked"] * 5
    assert found["127.0.0.2"] == ["network"] * 5
    assert sorted(found["localhost"]) == [""] * 5 + ["forbidden"]
    failures = read_jsonl(output / "failures.jsonl")
    assert sorted(row["attempts"] for row in failures) == [0] * 4 + [1] * 7
    told = [row["message"].partition(": ")[2] for row in failures if not row["attempts"]]
    assert (
        sorted(told) == ["not tried: 127.0.0.1 refused before"] * 2 + ["not tried: 127.0.0.2 did not answer before"] * 2
    )
    assert summary_of(output)["next_run"] == 10
    asked = sum(server.log().values())
    job(rows, *options)
    assert sum(server.log().values()) - asked <= 3  # of the one file that was forbidden none


def test_what_was_refused_comes_last_in_the_next_run(site, job):
    refused = {f"v{place}": video("bus", media=f"{place}.mp4", fault="403") for place in range(2)}
    server = site({**catalogue(), **refused})
    rows = [{"action": "red", "query": "bus"}]
    options = ("--download_lanes=1", "--blocked_limit=2", "--cut=none")
    _, output = job(rows, *options)
    assert {key[-2:] for key, row in by_key(output).items() if row["code"] == "blocked"} == {*catalogue()}
    _, output = job(rows, *options)
    assert {key[-2:] for key, row in by_key(output).items() if row["code"] == "blocked"} == {*refused}
    assert {row["refusals"] for row in read_jsonl(output / "failures.jsonl")} == {2}
    assert server.log()["/media/v0/144/video.mp4"] == 2
    assert summary_of(output)["next_run"] == 2


def test_what_one_run_refused_is_not_tried_first_by_the_one_after_the_next(site, job):
    """Three runs may refuse three sets of videos: none of them starves the rest."""
    site(catalogue(fault="403"))
    rows = [{"action": "red", "query": "bus"}]
    for expected in ({"v0", "v1"}, {"v2", "v3"}, {"v4", "v0"}):
        _, output = job(rows, "--download_lanes=1", "--blocked_limit=2", "--cut=none")
        tried = {row["key"][-2:] for row in read_jsonl(output / "failures.jsonl") if row["attempts"]}
        assert tried == expected


@pytest.mark.parametrize(
    "more", [["--clip_max_height=360"], ["--clip_max_height=360", "--clips_per_action=3"]], ids=["all", "capped"]
)
def test_rows_are_the_same_whether_videos_stream_or_are_shuffled(site, job, more):
    fields = {"heights": [144, 360]}
    site(
        {
            **catalogue(**fields),
            "v5": video("bus", media="1.mp4", **fields),
            "v6": video("bus", media="0.mp4", fault="404"),
        }
    )
    rows = [{"action": "red", "query": "bus"}, {"action": "grey", "query": "bus"}]
    names = ("spans.jsonl", "videos.jsonl", "failures.jsonl")
    found = []
    for name, shape in (("streams", ()), ("shuffles", SHUFFLES)):
        status, output = job(rows, *more, "--min_score=0.5", *shape, output=name)
        assert status == 0
        clips = {str(path.relative_to(output)): path.read_bytes() for path in output.glob("clips/*/*.mp4")}
        found.append((clips, [(output / name).read_bytes() for name in names]))
    assert found[0] == found[1]
    assert len(found[0][0]) == (6 if len(more) == 2 else 17)
