"""An earlier clip goes where another one stands in its place or its absence is final, and nowhere else."""

import os

import pytest

from clipscout.transforms.core.results import funnel
from clipscout.transforms.core.storage import stale
from clipscout.transforms.failures import CODES, Failure
from clipscout.transforms.records import Ask, CandidateSpan, Clip, EarlierClip, Video, VideoRequest, VideoSpans

KEY = "site-a_b"
FINAL = {"removed", "private", "drm"}


def request(*actions):
    asks = tuple(Ask(action, (action,), f"q.csv:{place}") for place, action in enumerate(actions))
    return VideoRequest(KEY, asks, url="https://site/a")


def picked(*actions):
    asked = request(*actions)
    return VideoSpans(Video(KEY, "videos/a.mp4", asked, 1, "sha256:0", 1.0, 2, 2, 1.0), (), 1.0, 2)


def clip(path, poster=""):
    span = CandidateSpan(KEY, "red", 0.0, 1.0, 0.5, 0, 0.5, 1, "red", 0.5)
    return Clip(span, path, 1.0, 1, 2, 2, False, "", poster=poster)


def earlier(*names):
    return [EarlierClip(KEY, f"clips/{name}") for name in names]


OLD = f"red/{KEY}_0_1000"
FILES = earlier(f"{OLD}.json", f"{OLD}.jpg", f"{OLD}.mp4")
NAMES = tuple(f"clips/{OLD}.{ending}" for ending in ("mp4", "jpg", "json"))


def failed(code, stage="DownloadVideos", action=""):
    return Failure(stage, code, "why", key=KEY, action=action)


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ([request("red"), picked("red")], stale.REPLACED),
        ([request("red"), failed("blocked")], stale.FAILED),
        ([request("red"), failed("too_long")], stale.REPLACED),
        ([request("red")], stale.FAILED),
        ([], stale.NOT_ASKED),
        ([request("blue"), picked("blue")], stale.NOT_ASKED),
        ([request("red"), picked("red"), failed("cut_failed", "CutClips", "red")], stale.FAILED),
        ([request("red"), picked("red"), failed("cut_failed", "CutClips", "blue")], stale.REPLACED),
    ],
    ids=["picked again", "failed", "refused", "lost", "not asked", "other action", "not cut", "another was not cut"],
)
def test_why_a_clip_is_not_named(records, why):
    assert list(stale.leftovers([*FILES, *records])) == [stale.Leftover(NAMES, why)]


@pytest.mark.parametrize("code", sorted(CODES))
def test_only_what_is_gone_or_refused_by_a_rule_is_final(code):
    """Whatever options, another day or another installation may cure costs no clip."""
    (left,) = stale.leftovers([*FILES, request("red"), failed(code)])
    final = code in FINAL or CODES[code][0] == "skipped"
    assert left.why == (stale.REPLACED if final else stale.FAILED)
    assert (funnel.may_return({"DownloadVideos": {code: 1}}) == {}) is final  # what is told fits


def test_what_no_row_asks_for_stays_while_a_row_fails():
    (left,) = stale.leftovers(FILES)
    assert left.may_go(a_row_failed=False)
    assert not left.may_go(a_row_failed=True)
    assert funnel.a_row_failed({"failure.MatchLabels.unknown_label": 1})
    assert not funnel.a_row_failed({"failure.FindVideos.excluded": 1, "failure.DownloadVideos.blocked": 1, "x": 1})


def test_what_is_named_stays_with_its_record_and_a_poster_that_is_not_wanted_any_more_goes():
    records = [*FILES, request("red"), picked("red")]
    assert list(stale.leftovers([*records, clip(NAMES[0], NAMES[1])])) == []
    (left,) = stale.leftovers([*records, clip(NAMES[0])])
    assert (left.names, left.is_clip) == (NAMES[1:2], False)


def test_files_find_their_video_and_strange_ones_are_nobodys(tmp_path):
    for name in (f"clips/{OLD}.mp4", "clips/red/mine.mp4", "clips/notes.txt", f"videos/{OLD}.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert list(stale.earlier_clips(str(tmp_path))) == [EarlierClip(KEY, f"clips/{OLD}.mp4")]


def test_what_a_killed_run_began_goes_and_what_the_next_one_needs_stays(tmp_path):
    files = {
        ".writing-a": 1,
        "clips/red/.writing-b": 1,
        "mine/.writing-c": 1,
        "scores/f00d/aa.parquet": 5,
        "scores/f00d/aa-0-10000.parquet": 3,  # of an earlier length
        "scores/f00d/aa-590000-end.parquet": 3,
        "scores/f00d/aa-0-20000.parquet": 7,  # of a video that is scored again
        "scores/f00d/bb-0-10000.parquet": 3,  # of a track that is not complete yet
    }
    for name, time in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (time, time))
    stale.remove_unfinished(str(tmp_path))
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {*files} - left == {
        ".writing-a",
        "clips/red/.writing-b",
        "scores/f00d/aa-0-10000.parquet",
        "scores/f00d/aa-590000-end.parquet",
    }
