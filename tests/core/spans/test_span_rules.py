"""What holds of the spans of every rule, and what a rule leaves out and why."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given

from clipscout.transforms.core.spans.peaks import SpanSettings, propose, removed_by
from tests.span_strategies import MS, rules, track_of, tracks


@given(tracks(), rules())
def test_spans_of_any_rule_are_few_ranked_inside_and_hold_their_peak(track, settings):
    spans = propose(track, settings)
    assert len(spans) <= settings.top_k
    assert [span.rank for span in spans] == list(range(1, len(spans) + 1))
    assert [span.score for span in spans] == sorted((span.score for span in spans), reverse=True)
    for span in spans:
        assert 0 <= span.start_seconds <= span.peak_seconds < span.end_seconds <= track.decoded_seconds + 1e-6
        assert span.score >= settings.min_score
        assert span.shot_boundaries == sum(span.start_seconds < cut < span.end_seconds for cut in track.shot_boundaries)


@given(tracks(), rules())
def test_peaks_of_any_rule_are_spaced_and_segments_do_not_overlap(track, settings):
    spans = propose(track, settings)
    if settings.mode == "segments":
        in_time = sorted(spans, key=lambda span: span.start_seconds)
        assert all(first.end_seconds <= second.start_seconds for first, second in pairwise(in_time))
    else:
        peaks = sorted(span.peak_seconds for span in spans)
        assert all(second - first >= settings.min_gap_seconds - 1e-6 for first, second in pairwise(peaks))


@given(tracks(), rules())
def test_edges_are_whole_milliseconds_unless_they_sit_on_a_cut_or_peak(track, settings):
    spans = propose(track, settings)
    fixed = np.array([*track.shot_boundaries, *(track.times[span.peak_frame // 2] for span in spans)])
    for edge in (edge for span in spans for edge in (span.start_seconds, span.end_seconds)):
        tiny_video = edge == track.decoded_seconds
        assert edge == round(edge, 3) or tiny_video or np.abs(fixed - edge).min() <= MS / 2 + 1e-9


@pytest.mark.parametrize("mode", ["peaks", "segments"])
@pytest.mark.parametrize("width", [0.0, 1.0])
def test_of_equal_responses_the_earlier_wins(mode, width):
    track = track_of(np.arange(90) / 3, [0.7] * 90, 30, actions=("blue", "red"))
    spans = propose(track, SpanSettings(mode=mode, top_k=1, smooth_seconds=width, clip_seconds=2))
    assert [(span.action, span.peak_seconds) for span in spans] == [("blue", 0), ("red", 0)]


def test_removed_by_tells_which_threshold_left_nothing():
    track = track_of(range(6), [0.1, 0.2, np.nan, 0.4, 0.3, 0.1], 6)
    assert propose(track, SpanSettings(mode="segments", min_score=0.15)) == []
    expected = {"samples": 6, "below_min_score": 3, "below_high_score": 6, "strongest": pytest.approx(0.4)}
    assert removed_by(track, SpanSettings(mode="segments", min_score=0.15)) == {"red": expected}
    assert removed_by(track, SpanSettings(min_score=0.15)) == {"red": {**expected, "below_high_score": 0}}


def test_removed_by_of_no_samples():
    track = track_of([], [], 0)
    assert propose(track, SpanSettings(mode="segments")) == propose(track, SpanSettings(smooth_seconds=1)) == []
    told = {"samples": 0, "below_min_score": 0, "below_high_score": 0, "strongest": None}
    assert removed_by(track, SpanSettings(mode="segments")) == {"red": told}


@pytest.mark.parametrize("wrong", [{"mode": "regions"}, {"shots": "yes"}])
def test_a_rule_of_no_known_kind_is_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        SpanSettings(**wrong)


@pytest.mark.parametrize("mode", ["peaks", "segments"])
def test_an_action_with_a_threshold_of_its_own_keeps_to_it(mode):
    track = track_of([0, 1, 2, 3, 4, 5], [0.1, 0.1, 0.9, 0.1, 0.1, 0.1], 6, actions=("free", "strict", "usual"))
    settings = SpanSettings(clip_seconds=1, top_k=1, min_score=0.5, mode=mode)
    min_scores = {"free": 0.0, "strict": 0.95}
    assert [span.action for span in propose(track, settings, min_scores=min_scores)] == ["free", "usual"]
    below = {action: row["below_min_score"] for action, row in removed_by(track, settings, {}, min_scores).items()}
    assert below == {"free": 0, "strict": 6, "usual": 5}
