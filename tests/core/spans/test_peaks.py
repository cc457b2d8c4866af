"""Peaks of a track and the windows around them: properties of every track, and cases that a person checks by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipscout.transforms.core.spans.peaks import SpanSettings, pick_peaks, propose, smooth, window
from tests.span_strategies import FRAME, MS, plain_rules, plain_tracks, track_of, tracks


@given(plain_tracks(), plain_rules())
def test_never_more_than_k_and_ordered_by_score(track, settings):
    spans = propose(track, settings)
    assert len(spans) <= settings.top_k
    assert [span.rank for span in spans] == list(range(1, len(spans) + 1))
    assert [span.score for span in spans] == sorted((span.score for span in spans), reverse=True)


@given(plain_tracks(), plain_rules())
def test_spans_lie_inside_the_video_and_hold_their_peak(track, settings):
    for span in propose(track, settings):
        assert 0 <= span.start_seconds <= span.peak_seconds <= span.end_seconds <= track.decoded_seconds + MS / 2
        length = min(settings.clip_seconds, track.decoded_seconds)
        assert span.end_seconds - span.start_seconds == pytest.approx(length, abs=1.01 * MS)


@given(plain_tracks(), plain_rules())
def test_peaks_are_spaced_strong_and_true(track, settings):
    spans = propose(track, settings)
    places = {time: index for index, time in enumerate(track.times)}
    for number, span in enumerate(spans):
        place = places[span.peak_seconds]
        assert span.score == track.responses[place, 0] >= settings.min_score
        assert (span.peak_frame, span.top_label) == (track.frame_indices[place], track.top_labels[place])
        assert span.top_score == track.top_scores[place]
        assert all(abs(span.peak_seconds - other.peak_seconds) >= settings.min_gap_seconds for other in spans[:number])


@given(plain_tracks(), plain_rules())
def test_no_span_comes_twice(track, settings):
    spans = propose(track, settings)
    assert len({(span.start_seconds, span.end_seconds) for span in spans}) == len(spans)


@given(plain_tracks(), plain_rules())
def test_the_first_peak_is_the_earliest_of_the_strongest(track, settings):
    spans = propose(track, settings)
    responses = track.responses[:, 0]
    assert bool(spans) == bool(responses.max() >= settings.min_score)
    if spans:
        assert spans[0].peak_seconds == track.times[responses.argmax()]


@given(plain_tracks(), plain_rules())
def test_no_free_sample_is_stronger_than_a_picked_one(track, settings):
    responses = track.responses[:, 0]
    peaks = pick_peaks(track.times, responses, settings)
    for number, peak in enumerate(peaks):
        free = [
            index
            for index, time in enumerate(track.times)
            if all(abs(time - track.times[other]) >= settings.min_gap_seconds for other in peaks[:number])
            and index not in peaks[:number]
        ]
        assert responses[peak] == max(responses[index] for index in free)
    if len(peaks) < settings.top_k:
        assert all(
            response < settings.min_score
            or index in peaks
            or any(abs(track.times[index] - track.times[peak]) < settings.min_gap_seconds for peak in peaks)
            for index, response in enumerate(responses)
        )


@pytest.mark.parametrize(
    ("responses", "settings", "expected"),
    [
        ([1, 3, 2, 0, 2.5], SpanSettings(top_k=2, min_gap_seconds=2), [1, 4]),
        ([1, 1, 1, 1, 1], SpanSettings(top_k=3, min_gap_seconds=2), [0, 2, 4]),
        ([0, 5, 0, 5, 0], SpanSettings(top_k=1), [1]),
        ([0, 5, 4, 3, 2], SpanSettings(top_k=2, min_gap_seconds=0), [1, 2]),
        ([0.1, 0.2, 0.3], SpanSettings(top_k=2, min_score=0.5), []),
        ([0.1, 0.5, 0.3], SpanSettings(top_k=2, min_score=0.5), [1]),
        ([-3, -1, -2], SpanSettings(top_k=1, min_score=-2), [1]),
        ([np.nan, 1, np.nan, 2], SpanSettings(top_k=4, min_gap_seconds=0), [3, 1]),
        ([], SpanSettings(), []),
    ],
    ids=["gap", "ties", "earlier tie", "no gap", "all weak", "at the limit", "negative", "not a number", "empty"],
)
def test_pick_peaks(responses, settings, expected):
    times = np.arange(len(responses), dtype=np.float64)
    assert pick_peaks(times, np.array(responses, np.float32), settings) == expected


@pytest.mark.parametrize(
    ("peak", "length", "video", "expected"),
    [
        (30.0, 10.0, 60.0, (25.0, 35.0)),
        (2.0, 10.0, 60.0, (0.0, 10.0)),
        (59.0, 10.0, 60.0, (50.0, 60.0)),
        (5.0, 10.0, 60.0, (0.0, 10.0)),
        (3.0, 10.0, 7.0, (0.0, 7.0)),
        (0.0, 10.0, 10.0, (0.0, 10.0)),
    ],
    ids=["middle", "start", "end", "just fits", "short video", "exact"],
)
def test_window(peak, length, video, expected):
    assert window(peak, length, video) == expected


def test_every_action_has_its_own_spans():
    track = track_of([0, 20, 40], [0.2, 0.9, 0.5], 60, actions=("blue", "red"))
    spans = propose(track, SpanSettings(top_k=2))
    assert [(span.action, span.rank, span.peak_seconds) for span in spans] == [
        ("blue", 1, 20), ("blue", 2, 40), ("red", 1, 20), ("red", 2, 40)
    ]  # fmt: skip


def test_a_short_video_gives_one_span_not_one_per_peak():
    spans = propose(
        track_of([0, 2, 4, 6], [1, 0.5, 0.25, 0], 8), SpanSettings(clip_seconds=10, top_k=3, min_gap_seconds=1)
    )
    assert [(span.start_seconds, span.end_seconds, span.rank, span.score) for span in spans] == [(0, 8, 1, 1)]


def test_the_end_of_the_video_is_rounded_down():
    (span,) = propose(track_of([0, 5, 10], [0, 0, 1], 10.4267), SpanSettings(top_k=1))
    assert (span.start_seconds, span.end_seconds) == (0.426, 10.426)


@given(tracks(), st.sampled_from([0.05, 0.25, 1.0, 2 * FRAME, 5.0]))
def test_smoothing_is_the_mean_of_the_window(track, width):
    responses = track.responses[:, 0]
    smoothed = smooth(track.times, responses, width)
    for time, value in zip(track.times, smoothed, strict=True):
        window_of = [
            float(response)
            for other, response in zip(track.times, responses, strict=True)
            if abs(other - time) <= width / 2 + 1e-9 and np.isfinite(response)
        ]
        assert np.isnan(value) if not window_of else value == pytest.approx(np.mean(window_of), rel=1e-6)


def test_smoothing_goes_by_time_and_not_by_samples():
    times = np.array([0, 0.1, 0.2, 5.0, 5.5])
    smoothed = smooth(times, np.array([0, 3, 6, 9, 1], np.float32), 0.4)
    assert smoothed.tolist() == [3, 3, 3, 9, 1]


def test_a_smoothed_plateau_is_still_a_tie():
    responses = np.full(5000, np.float32(0.1))
    responses[4000] = 0
    smoothed = smooth(np.arange(5000) / 30, responses, 1.0)
    assert set(smoothed[:3900].tolist()) == {float(np.float32(0.1))}


def test_one_strong_sample_loses_to_a_long_response_once_smoothed():
    times = np.arange(60) * 0.5
    responses = np.where((times >= 20) & (times < 25), 0.6, 0.1)
    responses[10] = 0.9
    track = track_of(times, responses, 30)
    assert propose(track, SpanSettings(top_k=1))[0].peak_seconds == 5
    (span,) = propose(track, SpanSettings(top_k=1, smooth_seconds=2))
    assert (span.peak_seconds, span.score) == (21, pytest.approx(0.6))
    assert propose(track, SpanSettings(min_score=0.7, smooth_seconds=2)) == []
