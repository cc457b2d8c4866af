"""One schema in JSON Lines and Parquet, sentences for what has no span, and an output that can be moved."""

import json
import shutil

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from clipscout.transforms.core.results import manifests
from tests.colours import COLOURS
from tests.conftest import read_jsonl
from tests.jobs import RATE, run_rows
from tests.media_maker import make_video


def scene_video(path, *parts, **settings):
    """Scenes of plain colours: the numbers that other tests stamp on their frames would pass for shot boundaries."""
    colours = [COLOURS[colour] for colour, seconds in parts for _ in range(seconds * RATE)]
    picture = lambda index: np.full((108, 192, 3), colours[index], np.uint8)  # noqa: E731
    return make_video(path, len(colours), rate=RATE, picture=picture, **settings)


@pytest.fixture
def finished(tmp_path, colour_spec):
    video = scene_video(tmp_path / "a.mp4", ("grey", 2), ("red", 2), ("grey", 2), audio=True)
    rows = [
        {"action": "red", "path": video, "split": "val", "number": 3},
        {"action": "blue", "path": video},
        {"action": "red", "path": str(tmp_path / "gone.mp4")},
    ]
    status, output = run_rows(tmp_path, rows, colour_spec, "--min_score=0.5", "--clip_seconds=2", "--shots=avoid")
    assert status == 0
    return output


@pytest.mark.parametrize(("name", "columns"), [("spans", manifests.SPAN_COLUMNS), ("videos", manifests.VIDEO_COLUMNS)])
def test_both_forms_say_the_same(finished, name, columns):
    rows = read_jsonl(finished / f"{name}.jsonl")
    table = pq.read_table(finished / f"{name}.parquet")
    assert table.schema.names == list(columns) == list(rows[0])
    for row, flat in zip(rows, table.to_pylist(), strict=True):
        for column, value in row.items():
            said = json.loads(flat[column]) if column in manifests._OBJECTS else flat[column]
            assert said == value, column


def test_a_span_tells_where_it_comes_from_and_by_what(finished):
    (span,) = read_jsonl(finished / "spans.jsonl")
    assert (span["start_seconds"], span["end_seconds"], span["shot_boundaries"]) == (2.0, 4.0, 0)
    assert (span["clip_start_seconds"], span["clip_end_seconds"]) == (2.0, 4.0)
    assert span["classifier"] == "colours.json"
    settings = json.loads((finished / "summary.json").read_text())["settings"]
    assert span["scores"] == settings["scores"]
    assert len(span["settings"]) == 16
    assert span["asks"][0]["extra"] == {"split": "val", "number": 3}
    assert len(span["id"]) == 20


def test_an_action_without_a_span_says_which_threshold_left_how_many_out(finished):
    (video,) = read_jsonl(finished / "videos.jsonl")
    (note,) = video["notes"]
    assert note.startswith("no span of 'blue': 12 of 12 samples are below min_score 0.5; the strongest response is ")


def test_an_output_can_be_moved(finished, tmp_path):
    shutil.move(finished, tmp_path / "elsewhere")
    (span,) = read_jsonl(tmp_path / "elsewhere/spans.jsonl")
    for path in (span["clip"], span["poster"]):
        with av.open(str(tmp_path / "elsewhere" / path)) as container:
            picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
        red, green, _ = picture[-20:, 40:-40].mean(axis=(0, 1))
        assert red > 150 > 80 > green


def test_thresholds_that_select_nothing_give_zero_clips_and_a_sentence(tmp_path, colour_spec):
    video = scene_video(tmp_path / "a.mp4", ("grey", 2), ("red", 2))
    options = ("--span_mode=segments", "--high_score=1", "--low_score=1", "--min_score=0.9")
    status, output = run_rows(tmp_path, [{"action": "blue", "path": video}], colour_spec, *options)
    assert status == 0
    (row,) = read_jsonl(output / "videos.jsonl")
    assert (row["outcome"], row["code"], row["clips"]) == ("rejected", "no_span", 0)
    assert row["notes"] == [
        "no span of 'blue': 8 of 8 samples are below min_score 0.9, 8 below high_score 1; "
        f"the strongest response is {float(row['notes'][0].rpartition(' ')[2]):.4g}"
    ]


def test_segments_last_as_long_as_the_action(tmp_path, colour_spec):
    parts = ("grey", 2), ("red", 3), ("grey", 4), ("red", 6), ("grey", 2)
    video = scene_video(tmp_path / "a.mp4", *parts)
    status, output = run_rows(
        tmp_path, [{"action": "red", "path": video}], colour_spec, "--span_mode=segments", "--shots=avoid"
    )
    assert status == 0
    spans = sorted((row["start_seconds"], row["end_seconds"]) for row in read_jsonl(output / "spans.jsonl"))
    assert spans == [(2.0, 5.0), (9.0, 15.0)]
