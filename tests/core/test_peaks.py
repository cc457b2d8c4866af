"""Peaks and spans: the properties that hold for every track, and the cases that a person checks by hand."""

import dataclasses
from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.core.peaks import SpanRule, pick_peaks, pick_regions, propose, removed_by, smooth, window
from transforms.records import ScoreTrack

#: Eighths of a second are exact in floating point: no test hangs on rounding.
EIGHTH = 0.125
#: Spans are rounded to milliseconds.
MS = 0.001


def track_of(times, responses, decoded_seconds, actions=("red",), cuts=()):
    """Returns a track with the same responses for every action."""
    responses = np.array(responses, np.float32)
    return ScoreTrack(
        key="file-a",
        actions={action: (action,) for action in actions},
        times=np.array(times, np.float64),
        frame_indices=np.arange(len(times)) * 2,
        responses=np.stack([responses] * len(actions), axis=1),
        top_labels=tuple(f"label {index}" for index in range(len(times))),
        top_scores=responses + 1,
        decoded_seconds=decoded_seconds,
        frames_decoded=len(times) * 2,
        cuts=tuple(cuts),
    )


@st.composite
def tracks(draw):
    eighths = sorted(draw(st.lists(st.integers(0, 400), min_size=1, max_size=40, unique=True)))
    # few levels: ties are common
    responses = draw(st.lists(st.sampled_from([0, 0.25, 0.5, 0.75, 1]), min_size=len(eighths), max_size=len(eighths)))
    tail = draw(st.integers(1, 80))
    return track_of([place * EIGHTH for place in eighths], responses, (eighths[-1] + tail) * EIGHTH)


rules = st.builds(
    SpanRule,
    clip_seconds=st.integers(1, 160).map(lambda eighths: eighths * EIGHTH),
    top_k=st.integers(1, 6),
    min_score=st.sampled_from([0.0, 0.25, 0.6]),
    min_gap_seconds=st.integers(0, 120).map(lambda eighths: eighths * EIGHTH),
)


@given(tracks(), rules)
def test_never_more_than_k_and_ordered_by_score(track, rule):
    spans = propose(track, rule)
    assert len(spans) <= rule.top_k
    assert [span.rank for span in spans] == list(range(1, len(spans) + 1))
    assert [span.score for span in spans] == sorted((span.score for span in spans), reverse=True)


@given(tracks(), rules)
def test_spans_lie_inside_the_video_and_hold_their_peak(track, rule):
    for span in propose(track, rule):
        assert 0 <= span.start_seconds <= span.peak_seconds <= span.end_seconds <= track.decoded_seconds + MS / 2
        length = min(rule.clip_seconds, track.decoded_seconds)
        assert span.end_seconds - span.start_seconds == pytest.approx(length, abs=1.01 * MS)


@given(tracks(), rules)
def test_peaks_are_spaced_strong_and_true(track, rule):
    spans = propose(track, rule)
    places = {time: index for index, time in enumerate(track.times)}
    for number, span in enumerate(spans):
        place = places[span.peak_seconds]
        assert span.score == track.responses[place, 0] >= rule.min_score
        assert (span.peak_frame, span.top_label) == (track.frame_indices[place], track.top_labels[place])
        assert span.top_score == track.top_scores[place]
        assert all(abs(span.peak_seconds - other.peak_seconds) >= rule.min_gap_seconds for other in spans[:number])


@given(tracks(), rules)
def test_no_span_comes_twice(track, rule):
    spans = propose(track, rule)
    assert len({(span.start_seconds, span.end_seconds) for span in spans}) == len(spans)


@given(tracks(), rules)
def test_the_first_peak_is_the_earliest_of_the_strongest(track, rule):
    spans = propose(track, rule)
    responses = track.responses[:, 0]
    assert bool(spans) == bool(responses.max() >= rule.min_score)
    if spans:
        assert spans[0].peak_seconds == track.times[responses.argmax()]


@given(tracks(), rules)
def test_no_free_sample_is_stronger_than_a_picked_one(track, rule):
    responses = track.responses[:, 0]
    peaks = pick_peaks(track.times, responses, rule)
    for number, peak in enumerate(peaks):
        free = [
            index
            for index, time in enumerate(track.times)
            if all(abs(time - track.times[other]) >= rule.min_gap_seconds for other in peaks[:number])
            and index not in peaks[:number]
        ]
        assert responses[peak] == max(responses[index] for index in free)
    if len(peaks) < rule.top_k:
        assert all(
            response < rule.min_score
            or index in peaks
            or any(abs(track.times[index] - track.times[peak]) < rule.min_gap_seconds for peak in peaks)
            for index, response in enumerate(responses)
        )


@pytest.mark.parametrize(
    ("responses", "rule", "expected"),
    [
        ([1, 3, 2, 0, 2.5], SpanRule(top_k=2, min_gap_seconds=2), [1, 4]),
        ([1, 1, 1, 1, 1], SpanRule(top_k=3, min_gap_seconds=2), [0, 2, 4]),
        ([0, 5, 0, 5, 0], SpanRule(top_k=1), [1]),
        ([0, 5, 4, 3, 2], SpanRule(top_k=2, min_gap_seconds=0), [1, 2]),
        ([0.1, 0.2, 0.3], SpanRule(top_k=2, min_score=0.5), []),
        ([0.1, 0.5, 0.3], SpanRule(top_k=2, min_score=0.5), [1]),
        ([-3, -1, -2], SpanRule(top_k=1, min_score=-2), [1]),
        ([np.nan, 1, np.nan, 2], SpanRule(top_k=4, min_gap_seconds=0), [3, 1]),
        ([], SpanRule(), []),
    ],
    ids=["gap", "ties", "earlier tie", "no gap", "all weak", "at the limit", "negative", "not a number", "empty"],
)
def test_pick_peaks(responses, rule, expected):
    times = np.arange(len(responses), dtype=np.float64)
    assert pick_peaks(times, np.array(responses, np.float32), rule) == expected


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
    spans = propose(track, SpanRule(top_k=2))
    assert [(span.action, span.rank, span.peak_seconds) for span in spans] == [
        ("blue", 1, 20), ("blue", 2, 40), ("red", 1, 20), ("red", 2, 40)
    ]  # fmt: skip


def test_a_short_video_gives_one_span_not_one_per_peak():
    spans = propose(track_of([0, 2, 4, 6], [1, 0.5, 0.25, 0], 8), SpanRule(clip_seconds=10, top_k=3, min_gap_seconds=1))
    assert [(span.start_seconds, span.end_seconds, span.rank, span.score) for span in spans] == [(0, 8, 1, 1)]


#: Frames of film: times that no millisecond and no float is equal to.
FRAME = 1 / 24


@st.composite
def cut_tracks(draw):
    """Tracks with shot changes, in eighths of a second or in frames of film; a cut may sit on a sample."""
    unit = draw(st.sampled_from([EIGHTH, FRAME]))
    places = sorted(draw(st.lists(st.integers(0, 400), min_size=1, max_size=40, unique=True)))
    levels = st.sampled_from([0, 0.25, 0.5, 0.75, 1, np.nan])
    responses = draw(st.lists(levels, min_size=len(places), max_size=len(places)))
    end = places[-1] + draw(st.integers(1, 80))
    cuts = sorted(draw(st.sets(st.integers(1, 480), max_size=12)))
    return track_of([place * unit for place in places], responses, end * unit, cuts=[cut * unit for cut in cuts])


any_rules = st.builds(
    SpanRule,
    clip_seconds=st.integers(1, 160).map(lambda eighths: eighths * EIGHTH),
    top_k=st.integers(0, 6),
    min_score=st.sampled_from([0.0, 0.25, 0.6]),
    min_gap_seconds=st.integers(0, 120).map(lambda eighths: eighths * EIGHTH),
    edges=st.sampled_from(["shift", "clamp"]),
    smooth_seconds=st.sampled_from([0.0, 0.05, 0.25, 1.0, 5.0]),
    mode=st.sampled_from(["peaks", "segments"]),
    high_score=st.sampled_from([0.25, 0.5, 0.75]),
    low_score=st.sampled_from([0.1, 0.25, 0.5]),
    merge_gap_seconds=st.sampled_from([0.0, 0.1, 0.5, 1.0, 4.0]),
    min_span_seconds=st.sampled_from([0.0, 0.5, 1.0, 5.0]),
    max_span_seconds=st.sampled_from([5.0, 7.3, 20.0, 60.0]),
    shots=st.sampled_from(["avoid", "trim", "ignore"]),
)


@given(cut_tracks(), any_rules)
def test_spans_of_any_rule_are_few_ranked_inside_and_hold_their_peak(track, rule):
    spans = propose(track, rule)
    assert len(spans) <= rule.top_k
    assert [span.rank for span in spans] == list(range(1, len(spans) + 1))
    assert [span.score for span in spans] == sorted((span.score for span in spans), reverse=True)
    for span in spans:
        assert 0 <= span.start_seconds <= span.peak_seconds < span.end_seconds <= track.decoded_seconds + 1e-6
        assert span.score >= rule.min_score
        assert span.cuts == sum(span.start_seconds < cut < span.end_seconds for cut in track.cuts)


@given(cut_tracks(), any_rules)
def test_peaks_of_any_rule_are_spaced_and_segments_do_not_overlap(track, rule):
    spans = propose(track, rule)
    if rule.mode == "segments":
        in_time = sorted(spans, key=lambda span: span.start_seconds)
        assert all(first.end_seconds <= second.start_seconds for first, second in pairwise(in_time))
    else:
        peaks = sorted(span.peak_seconds for span in spans)
        assert all(second - first >= rule.min_gap_seconds - 1e-6 for first, second in pairwise(peaks))


@given(cut_tracks(), any_rules)
def test_edges_are_whole_milliseconds_unless_they_sit_on_a_cut_or_peak(track, rule):
    spans = propose(track, rule)
    fixed = np.array([*track.cuts, *(track.times[span.peak_frame // 2] for span in spans)])
    for edge in (edge for span in spans for edge in (span.start_seconds, span.end_seconds)):
        tiny_video = edge == track.decoded_seconds
        assert edge == round(edge, 3) or tiny_video or np.abs(fixed - edge).min() <= MS / 2 + 1e-9


def shot_of(span, track):
    """Returns start and end of the shot that holds a span's peak."""
    peak = track.times[span.peak_frame // 2]
    start = max([0.0, *(cut for cut in track.cuts if cut <= peak)])
    return start, min([track.decoded_seconds, *(cut for cut in track.cuts if cut > peak)])


@given(cut_tracks(), any_rules)
def test_a_span_avoids_cuts_where_the_shot_is_long_enough(track, rule):
    rule = dataclasses.replace(rule, shots="avoid", mode="peaks")
    for span in propose(track, rule):
        start, end = shot_of(span, track)
        if end - start >= min(rule.min_span_seconds, rule.clip_seconds) + 2 * MS:
            assert span.cuts == 0
        if end - start >= rule.clip_seconds + 2 * MS and rule.edges == "shift":
            assert span.end_seconds - span.start_seconds == pytest.approx(rule.clip_seconds, abs=2 * MS)


@given(cut_tracks(), any_rules)
def test_a_segment_avoids_cuts_where_the_shot_has_room_for_it(track, rule):
    rule = dataclasses.replace(rule, shots="avoid", mode="segments", top_k=1)
    for span in propose(track, rule):
        start, end = shot_of(span, track)
        if end - start >= max(rule.min_span_seconds, 2 * MS) + 2 * MS:
            assert span.cuts == 0


@given(cut_tracks(), any_rules)
def test_trimmed_spans_are_parts_of_the_whole_ones(track, rule):
    whole = {span.peak_frame: span for span in propose(track, dataclasses.replace(rule, shots="ignore"))}
    for span in propose(track, dataclasses.replace(rule, shots="trim")):
        if span.peak_frame in whole:  # else its whole span was another's twin
            assert whole[span.peak_frame].start_seconds - MS <= span.start_seconds
            assert span.end_seconds <= whole[span.peak_frame].end_seconds + MS
        start, end = shot_of(span, track)
        if span.cuts == 0 or rule.min_span_seconds == 0:
            assert start <= span.start_seconds
            assert span.end_seconds <= end + 1e-6


@given(cut_tracks(), st.sampled_from([0.05, 0.25, 1.0, 2 * FRAME, 5.0]))
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
    assert propose(track, SpanRule(top_k=1))[0].peak_seconds == 5
    (span,) = propose(track, SpanRule(top_k=1, smooth_seconds=2))
    assert (span.peak_seconds, span.score) == (21, pytest.approx(0.6))
    assert propose(track, SpanRule(min_score=0.7, smooth_seconds=2)) == []


def naive_runs(track, rule):
    """Returns the sets of samples of the regions before anything is merged, grown or narrowed."""
    responses, places = track.responses[:, 0], range(len(track.times))
    runs = [
        set(run)
        for above, run in groupby(places, key=lambda place: responses[place] >= min(rule.low_score, rule.high_score))
        if above
    ]
    return [run for run in runs if any(responses[place] >= rule.high_score for place in run)]


@given(cut_tracks(), st.sampled_from([0.25, 0.5, 0.75]), st.sampled_from([0.1, 0.25, 0.5]))
def test_regions_are_the_runs_of_strong_samples(track, high, low):
    rule = SpanRule(
        mode="segments", high_score=high, low_score=low, merge_gap_seconds=0, min_span_seconds=0,
        max_span_seconds=1e9, top_k=99,
    )  # fmt: skip
    ends = [*track.times[1:], track.decoded_seconds]
    regions = pick_regions(track.times, track.responses[:, 0], track.decoded_seconds, rule)
    assert sorted((region.start_seconds, region.end_seconds) for region in regions) == [
        (track.times[min(run)], ends[max(run)]) for run in naive_runs(track, rule)
    ]


@given(cut_tracks(), any_rules)
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
    spans = propose(track, SpanRule(**settings))
    assert [(span.start_seconds, span.end_seconds, span.peak_seconds) for span in spans] == expected


def test_a_region_ends_with_its_last_sample():
    responses = np.array([0, 0.9, 0.9, 0, 0.9], np.float32)
    rule = SpanRule(mode="segments", top_k=2, merge_gap_seconds=0.5)
    spans = propose(track_of([0, 1, 1.5, 4, 9], responses, 12), rule)
    assert [(span.start_seconds, span.end_seconds, span.peak_seconds) for span in spans] == [(1, 4, 1), (9, 12, 9)]


@pytest.mark.parametrize("mode", ["peaks", "segments"])
@pytest.mark.parametrize("width", [0.0, 1.0])
def test_of_equal_responses_the_earlier_wins(mode, width):
    track = track_of(np.arange(90) / 3, [0.7] * 90, 30, actions=("blue", "red"))
    spans = propose(track, SpanRule(mode=mode, top_k=1, smooth_seconds=width, clip_seconds=2))
    assert [(span.action, span.peak_seconds) for span in spans] == [("blue", 0), ("red", 0)]


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
def test_spans_and_shot_changes(mode, shots, expected):
    times = np.arange(60)
    responses = np.where((times >= 16) & (times < 26), 0.6, 0) + np.where((times >= 36) & (times < 48), 0.55, 0)
    responses[[20, 40]] = 0.9, 0.8
    track = track_of(times, responses, 60, cuts=(17, 23, 37))
    spans = propose(track, SpanRule(mode=mode, shots=shots))
    assert [(span.start_seconds, span.end_seconds, span.cuts) for span in spans] == expected


def test_a_shot_below_the_least_length_is_crossed_and_told():
    track = track_of(range(60), np.arange(60) == 30, 60, cuts=(29.5, 31))
    (span,) = propose(track, SpanRule(shots="avoid", min_span_seconds=2, top_k=1))
    assert (span.start_seconds, span.end_seconds, span.cuts) == (25, 35, 2)


def test_segments_moved_into_a_shot_do_not_overlap():
    responses = np.zeros(40)
    responses[10:20], responses[20:30], responses[18] = 0.6, 0.6, 0.1
    responses[22] = 0.9
    rule = SpanRule(mode="segments", shots="avoid", merge_gap_seconds=0, top_k=2)
    spans = propose(track_of(range(40), responses, 40, cuts=(26,)), rule)
    assert [(span.start_seconds, span.end_seconds, span.cuts) for span in spans] == [(18, 26, 0), (10, 18, 0)]


def test_a_span_begins_at_the_frame_that_begins_the_shot_and_not_beside_it():
    times = np.arange(480) * FRAME
    cuts = (128 * FRAME, 320 * FRAME)  # 5.33333, 13.33333
    responses = np.where(np.arange(480) == 128, 1, 0.1)
    (span,) = propose(track_of(times, responses, 20, cuts=cuts), SpanRule(shots="avoid", clip_seconds=8, top_k=1))
    assert (span.start_seconds, span.end_seconds) == cuts
    assert span.start_seconds <= span.peak_seconds
    assert span.cuts == 0


def test_the_end_of_the_video_is_rounded_down():
    (span,) = propose(track_of([0, 5, 10], [0, 0, 1], 10.4267), SpanRule(top_k=1))
    assert (span.start_seconds, span.end_seconds) == (0.426, 10.426)


def test_removed_by_tells_which_threshold_left_nothing():
    track = track_of(range(6), [0.1, 0.2, np.nan, 0.4, 0.3, 0.1], 6)
    assert propose(track, SpanRule(mode="segments", min_score=0.15)) == []
    expected = {"samples": 6, "below_min_score": 3, "below_high_score": 6, "strongest": pytest.approx(0.4)}
    assert removed_by(track, SpanRule(mode="segments", min_score=0.15)) == {"red": expected}
    assert removed_by(track, SpanRule(min_score=0.15)) == {"red": {**expected, "below_high_score": 0}}


def test_removed_by_of_no_samples():
    track = track_of([], [], 0)
    assert propose(track, SpanRule(mode="segments")) == propose(track, SpanRule(smooth_seconds=1)) == []
    told = {"samples": 0, "below_min_score": 0, "below_high_score": 0, "strongest": None}
    assert removed_by(track, SpanRule(mode="segments")) == {"red": told}


@pytest.mark.parametrize("wrong", [{"mode": "regions"}, {"shots": "yes"}])
def test_a_rule_of_no_known_kind_is_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        SpanRule(**wrong)
