"""Spans of `--span_mode=segments`: regions of strong responses, merged, grown and narrowed."""

import dataclasses
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipscout.transforms.core.spans.peaks import SpanSettings, pick_regions, propose
from tests.span_strategies import rules, track_of, tracks


def naive_runs(track, rule):
    """Returns the sets of samples of the regions before anything is merged, grown or narrowed."""
    responses, places = track.responses[:, 0], range(len(track.times))
    runs = [
        set(run)
        for above, run in groupby(places, key=lambda place: responses[place] >= min(rule.low_score, rule.high_score))
        if above
    ]
    return [run for run in runs if any(responses[place] >= rule.high_score for place in run)]


@given(tracks(), st.sampled_from([0.25, 0.5, 0.75]), st.sampled_from([0.1, 0.25, 0.5]))
def test_regions_are_the_runs_of_strong_samples(track, high, low):
    rule = SpanSettings(
        mode="segments", high_score=high, low_score=low, merge_gap_seconds=0, min_span_seconds=0,
        max_span_seconds=1e9, top_k=99,
    )  # fmt: skip
    ends = [*track.times[1:], track.decoded_seconds]
    regions = pick_regions(track.times, track.responses[:, 0], track.decoded_seconds, rule)
    assert sorted((region.start_seconds, region.end_seconds) for region in regions) == [
        (track.times[min(run)], ends[max(run)]) for run in naive_runs(track, rule)
    ]


@given(tracks(), rules())
def test_every_run_is_in_one_region_unless_that_is_narrowed(track, rule):
    rule = dataclasses.replace(rule, top_k=99, min_score=0, max_span_seconds=1e9)
    regions = pick_regions(track.times, track.responses[:, 0], track.decoded_seconds, rule)
    for run in naive_runs(track, rule):
        (holder,) = (region for region in regions if region.start_seconds <= track.times[min(run)] < region.end_seconds)
        assert holder.end_seconds > track.times[max(run)]
    for region in regions:
        length = region.end_seconds - region.start_seconds
        assert length >= min(rule.min_span_seconds, track.decoded_seconds) - 1e-9


HILLS = [0, 0.3, 0.6, 0.8, 0.3, 0.1, 0, 0, 0.3, 0.9, 0.4, 0, 0, 0.4, 0.4, 0]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [(8, 11, 9), (1, 5, 3)]),
        ({"low_score": 0.35}, [(9, 11, 9), (2, 4, 3)]),
        ({"low_score": 0.7}, [(9, 10, 9), (2, 4, 3)]),
        ({"high_score": 0.85}, [(8, 11, 9)]),
        ({"high_score": 0.95}, []),
        ({"high_score": 0.3}, [(8, 11, 9), (1, 5, 3), (13, 15, 13)]),
        ({"merge_gap_seconds": 3}, [(8, 11, 9), (1, 5, 3)]),
        ({"merge_gap_seconds": 3.1}, [(1, 11, 9)]),
        ({"min_span_seconds": 6}, [(6.5, 12.5, 9), (0, 6, 3)]),
        ({"min_span_seconds": 8}, [(0, 13.5, 9)]),
        ({"min_span_seconds": 40}, [(0, 17, 9)]),
        ({"max_span_seconds": 2}, [(8, 10, 9), (2, 4, 3)]),
        ({"max_span_seconds": 1}, [(8.5, 9.5, 9), (2.5, 3.5, 3)]),
        ({"merge_gap_seconds": 9, "max_span_seconds": 6}, [(5, 11, 9)]),
        ({"min_score": 0.85}, [(8, 11, 9)]),
        ({"top_k": 1}, [(8, 11, 9)]),
        ({"top_k": 0}, []),
        ({"smooth_seconds": 2}, [(1, 5, 2), (8, 11, 9)]),
    ],
    ids=[
        "plain", "high low score", "low above high", "high score", "too high a score", "three", "gap as wide", "merged",
        "grown", "grown into one", "as long as the video", "narrowed", "narrowed to the peak", "merged and narrowed",
        "least score", "top 1", "top 0", "smoothed",
    ],
)  # fmt: skip
def test_segments(settings, expected):
    track = track_of(range(16), HILLS, 17)
    settings = {"mode": "segments", "top_k": 5, "smooth_seconds": 0, **settings}
    spans = propose(track, SpanSettings(**settings))
    assert [(span.start_seconds, span.end_seconds, span.peak_seconds) for span in spans] == expected


def test_a_region_ends_with_its_last_sample():
    responses = np.array([0, 0.9, 0.9, 0, 0.9], np.float32)
    rule = SpanSettings(mode="segments", top_k=2, merge_gap_seconds=0.5)
    spans = propose(track_of([0, 1, 1.5, 4, 9], responses, 12), rule)
    assert [(span.start_seconds, span.end_seconds, span.peak_seconds) for span in spans] == [(1, 4, 1), (9, 12, 9)]
