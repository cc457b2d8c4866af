"""Score tracks and rules for tests of spans: made by hand, and drawn by Hypothesis."""

import numpy as np
from hypothesis import strategies as st

from clipscout.transforms.core.spans.peaks import SpanSettings
from clipscout.transforms.records import ScoreTrack

#: Eighths of a second are exact in floating point: no test hangs on rounding.
EIGHTH = 0.125
#: Spans are rounded to milliseconds.
MS = 0.001
#: Frames of film: times that no millisecond and no float is equal to.
FRAME = 1 / 24
#: Responses; few, so that ties are common.
LEVELS = (0, 0.25, 0.5, 0.75, 1)


def track_of(times, responses, decoded_seconds, actions=("red",), shot_boundaries=()):
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
        shot_boundaries=tuple(shot_boundaries),
    )


@st.composite
def tracks(draw, units=(EIGHTH, FRAME), levels=(*LEVELS, np.nan), most_cuts=12):
    """Tracks in eighths of a second or in frames of film, with shot boundaries; a cut may sit on a sample."""
    unit = draw(st.sampled_from(units))
    places = sorted(draw(st.lists(st.integers(0, 400), min_size=1, max_size=40, unique=True)))
    responses = draw(st.lists(st.sampled_from(levels), min_size=len(places), max_size=len(places)))
    end = places[-1] + draw(st.integers(1, 80))
    shot_boundaries = sorted(draw(st.sets(st.integers(1, 480), max_size=most_cuts)))
    return track_of(
        [place * unit for place in places],
        responses,
        end * unit,
        shot_boundaries=[cut * unit for cut in shot_boundaries],
    )


def rules(**narrowed):
    """Rules of any kind, but for the settings whose strategies are given."""
    settings = {
        "clip_seconds": st.integers(1, 160).map(lambda count: count * EIGHTH),
        "top_k": st.integers(0, 6),
        "min_score": st.sampled_from([0.0, 0.25, 0.6]),
        "min_gap_seconds": st.integers(0, 120).map(lambda count: count * EIGHTH),
        "edges": st.sampled_from(["shift", "clamp"]),
        "smooth_seconds": st.sampled_from([0.0, 0.05, 0.25, 1.0, 5.0]),
        "mode": st.sampled_from(["peaks", "segments"]),
        "high_score": st.sampled_from([0.25, 0.5, 0.75]),
        "low_score": st.sampled_from([0.1, 0.25, 0.5]),
        "merge_gap_seconds": st.sampled_from([0.0, 0.1, 0.5, 1.0, 4.0]),
        "min_span_seconds": st.sampled_from([0.0, 0.5, 1.0, 5.0]),
        "max_span_seconds": st.sampled_from([5.0, 7.3, 20.0, 60.0]),
        "shots": st.sampled_from(["avoid", "trim", "ignore"]),
    }
    return st.builds(SpanSettings, **{**settings, **narrowed})


def plain_tracks():
    """Tracks of finite responses without shot boundaries, at times that floating point is exact about."""
    return tracks(units=(EIGHTH,), levels=LEVELS, most_cuts=0)


def plain_rules():
    """Rules for one window or more around peaks, of responses as they are."""
    return rules(top_k=st.integers(1, 6), edges=st.just("shift"), smooth_seconds=st.just(0.0), mode=st.just("peaks"))
