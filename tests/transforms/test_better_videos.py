"""Scan low, fetch high: scored at 144 lines, cut from 360; the pictures are the same to the frame."""

import shutil

import av
import pytest

from tests.colours import COLOURS
from tests.conftest import read_jsonl
from tests.jobs import RATE, SHAPES, scenes
from tests.media_maker import make_video, stamp_of, stamped
from tests.web_jobs import summary_of, video

OPTIONS = ("--min_score=0.5", "--clip_max_height=360", "--max_video_mb=10")


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """One video of red and grey scenes in two sizes, with a start time of its own in each."""
    folder = tmp_path_factory.mktemp("site")
    parts = ("grey", 2), ("red", 3), ("grey", 2)
    count, _ = scenes(*parts)
    colours = [COLOURS[colour] for colour, seconds in parts for _ in range(seconds * RATE)]
    for height, size in ((144, (256, 144)), (360, (640, 360))):
        make_video(
            folder / f"scenes_{height}.mp4",
            count,
            rate=RATE,
            size=size,
            picture=lambda index, size=size: stamped(index, *size, background=colours[index]),
        )
    return folder


def catalogue(**fields):
    return {
        "one": video("red scene", media="scenes_{height}.mp4", heights=[144, 360], duration=7, **fields),
        "two": video("red scene", media="scenes_{height}.mp4", heights=[144, 360], duration=7, **fields),
    }


ROWS = ({"action": "red", "query": "red"}, {"action": "blue", "query": "red"})


def test_only_the_selected_videos_are_fetched_again_and_cut(site, job):
    server = site(catalogue())
    status, output = job(ROWS, *OPTIONS, "--clips_per_action=1", "--shots=ignore")
    assert status == 0
    assert summary_of(output)["funnel"]["clips"]["written"] == 1
    (span,) = read_jsonl(output / "spans.jsonl")
    chosen, other = ("one", "two") if span["key"].endswith("one") else ("two", "one")
    counts = server.log()
    assert counts[f"/media/{chosen}/360/video.mp4"] == 2  # the first time for a part, which this site does not give
    assert f"/media/{other}/360/video.mp4" not in counts
    assert counts["/media/one/144/video.mp4"] == counts["/media/two/144/video.mp4"] == 1
    assert (span["clip_height"], span["clip_flags"]) == (360, [])
    with av.open(str(output / span["clip"])) as container:
        stamps = [stamp_of(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    first = round(span["start_seconds"] * RATE)
    assert stamps == list(range(first, first + 2 * RATE))


def test_a_better_quality_that_cannot_be_had_leaves_a_flag(site, job):
    server = site(catalogue(fault="404", fault_from_height=360))
    status, output = job(ROWS, *OPTIONS, "--clips_per_action=1")
    assert status == 0
    (span,) = read_jsonl(output / "spans.jsonl")
    assert span["clip_height"] == 144
    assert span["clip_flags"] == ["low_quality_not_found"]
    (failure,) = read_jsonl(output / "failures.jsonl")
    assert (failure["stage"], failure["code"], failure["key"]) == ("FetchBetterVideos", "not_found", span["key"])
    rows = (output / "failures.jsonl").read_bytes(), (output / "spans.jsonl").read_bytes()
    asked = {path: count for path, count in server.log().items() if path.startswith(("/page", "/media"))}
    job(ROWS, *OPTIONS, "--clips_per_action=1")
    assert {path: n for path, n in server.log().items() if path.startswith(("/page", "/media"))} == asked
    assert rows == ((output / "failures.jsonl").read_bytes(), (output / "spans.jsonl").read_bytes())
    assert summary_of(output)["next_run"] == 0

    server.set(catalogue())
    job(ROWS, *OPTIONS, "--clips_per_action=1", "--retry_failed=not_found")
    (span,) = read_jsonl(output / "spans.jsonl")
    assert (span["clip_height"], span["clip_flags"]) == (360, [])
    assert read_jsonl(output / "failures.jsonl") == []
    assert not list(output.glob("videos_for_clips/*.failure.json"))


@SHAPES
def test_better_qualities_that_a_site_refuses_today_remain_for_the_next_run(site, job, shape):
    server = site(catalogue(fault="429", fault_from_height=360))
    more = ("--blocked_limit=1", "--download_lanes=1", *shape)
    _, output = job(ROWS, *OPTIONS, *more)
    assert {row["code"] for row in read_jsonl(output / "failures.jsonl")} == {"blocked"}
    summary = summary_of(output)
    assert (summary["next_run"], summary["failures"]) == (2, {"FetchBetterVideos": {"blocked": 2}})
    server.set(catalogue())
    _, output = job(ROWS, *OPTIONS, *more)
    assert summary_of(output)["next_run"] == 0
    assert {row["clip_height"] for row in read_jsonl(output / "spans.jsonl")} == {360}


def test_a_good_clip_is_not_replaced_by_one_of_low_quality_because_today_the_site_refuses(site, job):
    server = site(catalogue())
    _, output = job(ROWS, *OPTIONS)
    before = {path: path.read_bytes() for path in output.glob("clips/*/*.mp4")}
    shutil.rmtree(output / "videos_for_clips")
    server.set(catalogue(fault="429", fault_from_height=360))
    assert job(ROWS, *OPTIONS, "--download_attempts=1")[0] == 0
    assert {path: path.read_bytes() for path in output.glob("clips/*/*.mp4")} == before
    spans = read_jsonl(output / "spans.jsonl")
    assert {(span["clip_height"], tuple(span["clip_flags"])) for span in spans} == {(360, ())}


def test_a_second_run_fetches_and_cuts_nothing(site, job):
    server = site(catalogue())
    job(ROWS, *OPTIONS)
    before = {path: n for path, n in server.log().items() if path.startswith("/media")}
    _, output = job(ROWS, *OPTIONS)
    assert {path: n for path, n in server.log().items() if path.startswith("/media")} == before
    assert len(read_jsonl(output / "spans.jsonl")) == 4
