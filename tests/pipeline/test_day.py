"""A synthetic day: twelve scenes of known action, length and cuts, made from real photos, scored by real weights."""

import itertools

import numpy as np
import pytest

from clipscout.transforms.core.storage import tracks
from tests.conftest import read_jsonl
from tests.jobs import arguments, main, run_measured, summary_of
from tests.media_maker import make_video
from tests.photos import ACTIONS, picture_of, rows_of

#: Photo and length in seconds. Two scenes of one action never touch.
DAY = (
    ("grass.png", 6.3),
    ("coffee.png", 7.1),
    ("brick.png", 4.0),
    ("chelsea.png", 9.7),
    ("motorcycle_left.png", 5.2),
    ("gravel.png", 12.4),
    ("camera.png", 8.5),
    ("coffee.png", 3.6),
    ("rocket.jpg", 10.9),
    ("chelsea.png", 5.0),
    ("page.png", 6.6),
    ("motorcycle_left.png", 11.3),
)
RATE, SIZE, STEP_SECONDS = 10, (256, 192), 0.5
EDGES = [0.0, *itertools.accumulate(seconds for _, seconds in DAY)]
CUTS = EDGES[1:-1]


def panned(picture, index):
    """A slow pan over a photo, so that no two frames are alike."""
    width, height = SIZE
    left = round((picture.shape[1] - width) * (0.5 + 0.5 * np.sin(index / 30)))
    return picture[:height, left : left + width]


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    folder = tmp_path_factory.mktemp("day")
    pictures = {name: picture_of(name, (SIZE[0] + 16, SIZE[1])) for name in {name for name, _ in DAY}}
    scene_of = [
        next(place for place, edge in enumerate(EDGES[1:]) if index / RATE < edge - 1e-9)
        for index in range(round(EDGES[-1] * RATE))
    ]
    video = make_video(
        folder / "day.mp4",
        len(scene_of),
        rate=RATE,
        size=SIZE,
        gop=250,
        audio=True,
        picture=lambda index: panned(pictures[DAY[scene_of[index]][0]], index),
    )
    rows = rows_of(video)
    given = arguments(
        folder, rows, "lite0", "--shots=avoid", "--min_score=0.2", "--clip_seconds=4", "--min_gap_seconds=12"
    )
    assert main(given) == 0
    return folder, rows


def test_the_top_spans_hit_every_planted_action(day):
    spans = read_jsonl(day[0] / "output/spans.jsonl")
    for action, (photo, _) in ACTIONS.items():
        planted = [place for place, (name, _) in enumerate(DAY) if name == photo]
        found = [row for row in spans if row["action"] == action]
        assert len(found) == len(planted), action
        for place in planted:
            start, end = EDGES[place], EDGES[place + 1]
            (hit,) = [row for row in found if start - STEP_SECONDS < row["peak_seconds"] < end + STEP_SECONDS]
            # the span lies in its scene, and is as long as it may be
            assert start - 1e-3 <= hit["start_seconds"] < hit["end_seconds"] <= end + 1e-3
            assert hit["end_seconds"] - hit["start_seconds"] == pytest.approx(min(4, end - start), abs=2e-3)


def test_no_span_crosses_a_cut(day):
    for row in read_jsonl(day[0] / "output/spans.jsonl"):
        assert row["shot_boundaries"] == 0
        assert not [cut for cut in CUTS if row["start_seconds"] + 1e-3 < cut < row["end_seconds"] - 1e-3]


def test_the_cuts_of_the_track_are_those_of_the_day(day):
    (path,) = (day[0] / "output/scores").glob("*/*.parquet")
    np.testing.assert_allclose(tracks.read(str(path)).report["shot_boundaries"], CUTS, atol=1e-3)


def test_another_length_loads_no_model(day):
    folder, rows = day
    counters, _ = run_measured(
        folder,
        rows,
        "lite0",
        "--shots=avoid",
        "--min_score=0.2",
        "--clip_seconds=3",
        "--min_gap_seconds=12",
        "--replace",
    )
    assert "ScoreVideos/models-loaded" not in counters
    assert "ScoreVideos/frames-decoded" not in counters
    assert counters["ScoreVideos/reused-tracks"] == 1
    spans = read_jsonl(folder / "output/spans.jsonl")
    assert {round(row["end_seconds"] - row["start_seconds"], 2) for row in spans} == {3.0}
    clips = {path.name for path in (folder / "output/clips").rglob("*.mp4")}
    assert clips == {row["clip"].rpartition("/")[2] for row in spans}  # none of the old ones is left
    assert summary_of(folder / "output")["stale_clips"] == 0
