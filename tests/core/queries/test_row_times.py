"""Spans between the times of their rows, for all tracks, lengths and ranges."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipscout.transforms.core.queries.row_times import ranges_of, times_of
from clipscout.transforms.core.spans import peaks
from clipscout.transforms.records import Ask
from tests.span_strategies import MS, rules, tracks


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ({}, None),
        ({"time_start": "", "time_end": " "}, None),
        ({"time_start": "5", "time_end": "7.5"}, (5.0, 7.5)),
        ({"Time_Start": 5, "time_end ": 7}, (5.0, 7.0)),
        ({"time_start": "5"}, (5.0, math.inf)),
        ({"time_end": "5"}, (0.0, 5.0)),
        ({"start": "5"}, None),
    ],
)
def test_times_of_a_row(extra, expected):
    assert times_of(extra) == expected


@pytest.mark.parametrize(("start", "end"), [("x", "5"), ("5", "5"), ("7", "5"), ("-1", "5"), ("nan", "5"), ([], {})])
def test_times_that_are_none(start, end):
    with pytest.raises(ValueError, match="expected seconds"):
        times_of({"time_start": start, "time_end": end})


def ask(action, start="", end=""):
    return Ask(action, (action,), "q:1", extra={"time_start": start, "time_end": end})


def test_ranges_of_several_rows_are_joined_and_a_row_without_times_means_everywhere():
    asks = [ask("a", 5, 7), ask("a", 1, 2), ask("a", 6, 9), ask("b", 1, 2), ask("b"), ask("c", "", 3)]
    assert ranges_of(asks) == {"a": ((1.0, 2.0), (5.0, 9.0)), "c": ((0.0, 3.0),)}


@given(tracks(), rules(), st.floats(0, 30), st.floats(0.05, 30))
def test_spans_lie_between_the_times_and_are_those_of_the_part_alone(track, rule, start, length):
    within = dict.fromkeys(track.actions, ((start, start + length),))
    spans = peaks.propose(track, rule, within)
    inside = (track.times >= start) & (track.times < start + length)
    for span in spans:
        assert start - MS <= span.start_seconds <= span.peak_seconds <= span.end_seconds
        assert span.end_seconds <= min(start + length, track.decoded_seconds) + MS
        assert start <= span.peak_seconds < start + length + MS
    for column, action in enumerate(track.actions):
        strong = track.responses[inside, column]
        if rule.mode == "peaks" and not rule.smooth_seconds and rule.top_k:
            found = [span.score for span in spans if span.action == action]
            assert bool(found) == bool((strong >= rule.min_score).any())
            assert not found or found[0] == np.nanmax(strong)


@given(tracks(), rules())
def test_times_around_all_of_a_video_change_nothing(track, rule):
    everywhere = dict.fromkeys(track.actions, ((0.0, math.inf),))
    # as text: a number that is none is not equal to itself
    assert repr(peaks.propose(track, rule, everywhere)) == repr(peaks.propose(track, rule))
    assert repr(peaks.removed_by(track, rule, everywhere)) == repr(peaks.removed_by(track, rule))
