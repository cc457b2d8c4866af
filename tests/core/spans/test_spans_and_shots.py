"""Spans and shot boundaries: avoided where the shot is long enough, trimmed, or crossed and told."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given

from clipscout.transforms.core.spans.peaks import SpanSettings, propose
from tests.span_strategies import FRAME, MS, rules, track_of, tracks


def shot_of(span, track):
    """Returns start and end of the shot that holds a span's peak."""
    peak = track.times[span.peak_frame // 2]
    start = max([0.0, *(cut for cut in track.shot_boundaries if cut <= peak)])
    return start, min([track.decoded_seconds, *(cut for cut in track.shot_boundaries if cut > peak)])


@given(tracks(), rules())
def test_a_span_avoids_cuts_where_the_shot_is_long_enough(track, settings):
    settings = dataclasses.replace(settings, shots="avoid", mode="peaks")
    for span in propose(track, settings):
        start, end = shot_of(span, track)
        if end - start >= min(settings.min_span_seconds, settings.clip_seconds) + 2 * MS:
            assert span.shot_boundaries == 0
        if end - start >= settings.clip_seconds + 2 * MS and settings.edges == "shift":
            assert span.end_seconds - span.start_seconds == pytest.approx(settings.clip_seconds, abs=2 * MS)


@given(tracks(), rules())
def test_a_segment_avoids_cuts_where_the_shot_has_room_for_it(track, settings):
    settings = dataclasses.replace(settings, shots="avoid", mode="segments", top_k=1)
    for span in propose(track, settings):
        start, end = shot_of(span, track)
        if end - start >= max(settings.min_span_seconds, 2 * MS) + 2 * MS:
            assert span.shot_boundaries == 0


@given(tracks(), rules())
def test_trimmed_spans_are_parts_of_the_whole_ones(track, settings):
    whole = {span.peak_frame: span for span in propose(track, dataclasses.replace(settings, shots="ignore"))}
    for span in propose(track, dataclasses.replace(settings, shots="trim")):
        if span.peak_frame in whole:  # else its whole span was another's twin
            assert whole[span.peak_frame].start_seconds - MS <= span.start_seconds
            assert span.end_seconds <= whole[span.peak_frame].end_seconds + MS
        start, end = shot_of(span, track)
        if span.shot_boundaries == 0 or settings.min_span_seconds == 0:
            assert start <= span.start_seconds
            assert span.end_seconds <= end + 1e-6


@pytest.mark.parametrize(
    ("mode", "shots", "expected"),
    [
        ("peaks", "ignore", [(15, 25, 2), (35, 45, 1)]),
        ("peaks", "avoid", [(17, 23, 0), (37, 47, 0)]),
        ("peaks", "trim", [(17, 23, 0), (37, 45, 0)]),
        ("segments", "ignore", [(16, 26, 2), (36, 48, 1)]),
        ("segments", "avoid", [(17, 23, 0), (37, 49, 0)]),
        ("segments", "trim", [(17, 23, 0), (37, 48, 0)]),
    ],
)
def test_spans_and_shot_boundaries(mode, shots, expected):
    times = np.arange(60)
    responses = np.where((times >= 16) & (times < 26), 0.6, 0) + np.where((times >= 36) & (times < 48), 0.55, 0)
    responses[[20, 40]] = 0.9, 0.8
    track = track_of(times, responses, 60, shot_boundaries=(17, 23, 37))
    spans = propose(track, SpanSettings(mode=mode, shots=shots))
    assert [(span.start_seconds, span.end_seconds, span.shot_boundaries) for span in spans] == expected


def test_a_shot_below_the_least_length_is_crossed_and_told():
    track = track_of(range(60), np.arange(60) == 30, 60, shot_boundaries=(29.5, 31))
    (span,) = propose(track, SpanSettings(shots="avoid", min_span_seconds=2, top_k=1))
    assert (span.start_seconds, span.end_seconds, span.shot_boundaries) == (25, 35, 2)


def test_segments_moved_into_a_shot_do_not_overlap():
    responses = np.zeros(40)
    responses[10:20], responses[20:30], responses[18] = 0.6, 0.6, 0.1
    responses[22] = 0.9
    settings = SpanSettings(mode="segments", shots="avoid", merge_gap_seconds=0, top_k=2)
    spans = propose(track_of(range(40), responses, 40, shot_boundaries=(26,)), settings)
    assert [(span.start_seconds, span.end_seconds, span.shot_boundaries) for span in spans] == [
        (18, 26, 0),
        (10, 18, 0),
    ]


def test_a_span_begins_at_the_frame_that_begins_the_shot_and_not_beside_it():
    times = np.arange(480) * FRAME
    shot_boundaries = (128 * FRAME, 320 * FRAME)  # 5.33333, 13.33333
    responses = np.where(np.arange(480) == 128, 1, 0.1)
    (span,) = propose(
        track_of(times, responses, 20, shot_boundaries=shot_boundaries),
        SpanSettings(shots="avoid", clip_seconds=8, top_k=1),
    )
    assert (span.start_seconds, span.end_seconds) == shot_boundaries
    assert span.start_seconds <= span.peak_seconds
    assert span.shot_boundaries == 0
