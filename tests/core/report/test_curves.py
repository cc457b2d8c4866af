"""Curves for the report: every peak is in them, small as they are, and a damaged one is none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipscout.transforms.core.report import curves
from clipscout.transforms.core.storage import filesystem, tracks
from clipscout.transforms.records import Scores, ScoreTrack
from tests.core.storage.test_tracks import scores_of, stored


def track(count, responses=None):
    rng = np.random.default_rng(count)
    return ScoreTrack(
        "file-a",
        {"blue": ("blue", "navy"), "red": ("red",)},
        np.arange(count) / 2,
        np.arange(count),
        rng.random((count, 2), np.float32) if responses is None else responses,
        tuple(rng.choice(["red", "bl\u00e4u"], count)),
        rng.random(count, np.float32),
        decoded_seconds=count / 2,
        frames_decoded=count,
        shot_boundaries=(1.25, 3.0001),
    )


def test_a_short_track_is_all_there():
    drawn = curves.of_track(track(40))
    assert drawn["times"] == [place / 2 for place in range(40)]
    assert (drawn["key"], drawn["seconds"], drawn["shots"], drawn["thinned"]) == ("file-a", 20.0, [1.25, 3.0], False)
    assert [*drawn["responses"]] == ["blue", "red"]
    np.testing.assert_allclose(drawn["responses"]["red"], track(40).responses[:, 1], rtol=1e-3)
    assert [drawn["names"][place] for place in drawn["labels"]] == list(track(40).top_labels)


@given(st.integers(6001, 40_000), st.integers(0, 1 << 30))
def test_of_very_many_samples_every_peak_is_drawn(count, seed):
    responses = np.random.default_rng(seed).random((count, 2), np.float32) / 2
    peaks = np.random.default_rng(seed).choice(count, 5, replace=False)
    responses[peaks, 1] = 0.9
    drawn = curves.of_track(track(count, responses))
    assert len(drawn["times"]) <= curves.MOST_SAMPLES
    assert drawn["thinned"]
    assert drawn["times"] == sorted(drawn["times"])
    # peaks of one part of the curve may be one
    assert max(drawn["responses"]["red"]) == 0.9
    high = [time for time, value in zip(drawn["times"], drawn["responses"]["red"], strict=True) if value == 0.9]
    part = count / 2 / (curves.MOST_SAMPLES // 4)
    assert all(min(abs(time - peak / 2) for time in high) <= part for peak in peaks)


def test_what_is_no_number_is_none():
    responses = np.array([[np.nan, 1], [np.inf, 0.5], [0.25, 0]], np.float32)
    assert curves.of_track(track(3, responses))["responses"] == {"blue": [None, None, 0.25], "red": [1.0, 0.5, 0.0]}


def test_a_curve_is_read_as_it_was_written_and_a_damaged_one_is_none(tmp_path):
    drawn = curves.of_track(track(9))
    curves.write(str(tmp_path), drawn)
    assert curves.read(str(tmp_path), "file-a") == drawn
    assert curves.read(str(tmp_path), "file-b") is None
    (tmp_path / curves.path_of("file-a")).write_bytes(b'clipscout.curve({"a": ')
    assert curves.read(str(tmp_path), "file-a") is None


def test_a_stored_track_gives_the_same_curve(tmp_path):
    stored(tmp_path, scores_of())
    found = tracks.read(tracks.TrackFiles(str(tmp_path), "f00d", "ab" * 16).track())
    actions = {"navy things": ["navy", "blue"], "red": ["red"], "never scored": ["green"]}
    drawn = curves.of_stored("file-a", found.scores, actions, [1.5], 33.3)
    assert [*drawn["responses"]] == ["navy things", "red"]
    np.testing.assert_allclose(drawn["responses"]["red"], scores_of().responses[:, 1], rtol=1e-3)


@pytest.mark.parametrize("count", [5, 100, 1000])
def test_a_small_picture_keeps_the_highest(count):
    drawn = curves.of_track(track(777))
    small = curves.at_most(drawn, count)
    assert len(small["times"]) == len(small["responses"]["red"]) <= count
    assert max(small["responses"]["red"]) == max(drawn["responses"]["red"])


def test_no_samples_are_no_curve_and_no_error():
    empty = Scores(
        np.zeros(0), np.zeros(0, int), (("red",),), np.zeros((0, 1), np.float32), (), np.zeros(0, np.float32)
    )
    drawn = curves.of_stored("k", empty, {"red": ["red"]}, [], 0.0)
    assert drawn["times"] == []
    assert filesystem.join("out", curves.path_of("k")) == "out/report/curves/k.js"
