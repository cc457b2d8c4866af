"""Picking spans: the strongest responses of a track, spaced in time, and the window or region around each.

Method: Kinetics-400, arXiv 1705.06950, section 3 ("clips around the top k = 2 responses"); non-maximum suppression in
time keeps neighbouring frames of one response from filling the top k. Regions: thresholding with hysteresis, as in
Canny, "A computational approach to edge detection" (1986).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from clipscout.transforms.core.queries.row_times import Ranges
from clipscout.transforms.core.spans import shots
from clipscout.transforms.records import CandidateSpan, ScoreTrack

#: Room for the rounding of times in floating point.
_ROUNDING_SECONDS = 1e-9
_EVERYWHERE: Mapping[str, Ranges] = MappingProxyType({})
_NO_OWN: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class SpanSettings:
    """How spans are picked.

    Attributes:
      clip_seconds: Length of a span around a peak.
      top_k: Most spans per video and action.
      min_score: Weakest response that may become a peak.
      min_gap_seconds: Least distance between two peaks of one action; regions keep the distance that they have.
      edges: At the video's edges `shift` keeps a span's length, `clamp` (the notebook's step 6) shortens it.
      smooth_seconds: Width of the moving average that is taken of the responses first; 0 for none.
      mode: `peaks` gives spans of one length around the strongest samples, `segments` regions of strong responses.
      high_score: A region holds a response of at least this.
      low_score: A region reaches as far as responses are at least this.
      merge_gap_seconds: Regions with a smaller gap become one.
      min_span_seconds: A shorter region grows to both sides to this length; no span is shortened below it at a shot
        boundary.
      max_span_seconds: A longer region is narrowed around its peak to this length.
      shots: What spans do about shot boundaries: `avoid`, `trim` or `ignore` them, see `shots.fit`.
      within_row_times: Whether spans lie between the times of their rows, where these name some.
    """

    clip_seconds: float = 10.0
    top_k: int = 2
    min_score: float = 0.0
    min_gap_seconds: float = 10.0
    edges: str = "shift"
    smooth_seconds: float = 0.0
    mode: str = "peaks"
    high_score: float = 0.5
    low_score: float = 0.25
    merge_gap_seconds: float = 1.0
    min_span_seconds: float = 1.0
    max_span_seconds: float = 60.0
    shots: str = "ignore"
    within_row_times: bool = False

    def __post_init__(self) -> None:
        if self.mode not in ("peaks", "segments"):
            raise ValueError(f"mode is {self.mode!r}, expected peaks or segments")
        if self.shots not in ("avoid", "trim", "ignore"):
            raise ValueError(f"shots is {self.shots!r}, expected avoid, trim or ignore")


class Region(NamedTuple):
    """`[start, end)` in seconds, and the index of the sample that is its peak."""

    start_seconds: float
    end_seconds: float
    peak: int


def smooth(times: np.ndarray, responses: np.ndarray, width_seconds: float) -> np.ndarray:
    """Returns float32[n], the mean of all responses at most half the width before or after each sample.

    The width is time and not a number of samples, so that a variable frame rate changes nothing. Responses that are
    not finite are left out. A width of 0 returns the responses as they are.

    Args:
      times: float64[n] seconds, ascending.
      responses: float32[n].
      width_seconds: Width of the centred window, both ends included.
    """
    if width_seconds <= 0:
        return responses
    reach = width_seconds / 2 + _ROUNDING_SECONDS
    first, stop = np.searchsorted(times, times - reach, "left"), np.searchsorted(times, times + reach, "right")
    known = np.isfinite(responses)
    sums = np.concatenate(([0.0], np.cumsum(np.where(known, responses, 0), dtype=np.float64)))
    counts = np.concatenate(([0], np.cumsum(known)))
    with np.errstate(invalid="ignore"):  # no finite response in the window
        means = (sums[stop] - sums[first]) / (counts[stop] - counts[first])
    # float32 drops the noise of the running sum, so that equal means stay ties
    return means.astype(np.float32)


def pick_peaks(times: np.ndarray, responses: np.ndarray, settings: SpanSettings) -> list[int]:
    """Returns the indices of the strongest samples, best first, at least `min_gap_seconds` apart.

    Greedy non-maximum suppression. Equal responses: the earlier sample wins.

    Args:
      times: float64[n] seconds, ascending.
      responses: float32[n].
      settings: How many, how far apart, how strong.
    """
    order = np.lexsort((times, -responses.astype(np.float64)))
    peaks: list[int] = []
    free = responses >= settings.min_score
    for index in order:
        if len(peaks) == settings.top_k:
            break
        if free[index]:
            peaks.append(int(index))
            free &= np.abs(times - times[index]) >= settings.min_gap_seconds
    return peaks


def window(
    peak_seconds: float, length_seconds: float, video_seconds: float, edges: str = "shift"
) -> tuple[float, float]:
    """Returns start and end of a span around a peak.

    At the video's edges it is shifted to keep its length, and shorter only if the video is; with `clamp` it is cut off.
    """
    if edges == "clamp":
        return max(0.0, peak_seconds - length_seconds / 2), min(video_seconds, peak_seconds + length_seconds / 2)
    length = min(length_seconds, video_seconds)
    start = min(max(0.0, peak_seconds - length / 2), video_seconds - length)
    return start, start + length


def pick_regions(
    times: np.ndarray, responses: np.ndarray, video_seconds: float, settings: SpanSettings
) -> list[Region]:
    """Returns the regions of strong responses, best first; they do not overlap.

    Runs of responses of at least `low_score` that hold one of at least `high_score` are joined over small gaps, and
    each grows to the least length; those that then overlap become one; long ones are narrowed. A region lasts from
    the time of its first sample to the end of its last, which is the next sample's time or the video's end. Its score
    is its strongest response; equal responses: the earlier one comes first.

    Args:
      times: float64[n] seconds, ascending.
      responses: float32[n].
      video_seconds: End of the video.
      settings: Thresholds, lengths, and how many.
    """
    strong = responses >= settings.high_score
    first, stop = _runs(strong | (responses >= settings.low_score))
    counts = np.concatenate(([0], np.cumsum(strong)))
    holds = counts[stop] > counts[first]
    first, stop = first[holds], stop[holds]
    if not len(first):
        return []
    ends = np.append(times[1:], video_seconds)
    apart = times[first[1:]] - ends[stop[:-1] - 1] >= settings.merge_gap_seconds - _ROUNDING_SECONDS
    first, stop = first[np.concatenate(([True], apart))], stop[np.concatenate((apart, [True]))]
    regions: list[Region] = []
    for index, end in zip(first.tolist(), stop.tolist(), strict=True):
        peak = index + int(np.nanargmax(responses[index:end]))
        region = _grown(
            Region(float(times[index]), float(ends[end - 1]), peak), settings.min_span_seconds, video_seconds
        )
        if regions and region.start_seconds < regions[-1].end_seconds:
            last = regions.pop()
            peak = peak if responses[peak] > responses[last.peak] else last.peak
            region = Region(last.start_seconds, max(last.end_seconds, region.end_seconds), peak)
        regions.append(region)
    regions = [region for region in regions if responses[region.peak] >= settings.min_score]
    regions.sort(key=lambda region: (-float(responses[region.peak]), region.peak))
    return [
        _narrowed(region, float(times[region.peak]), settings.max_span_seconds) for region in regions[: settings.top_k]
    ]


def _runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first index of each run of True, and the index behind its last."""
    padded = np.concatenate(([False], mask, [False]))
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return edges[::2], edges[1::2]


def _grown(region: Region, length: float, video_seconds: float) -> Region:
    start, end, peak = region
    if end - start >= length:
        return region
    wider = window((start + end) / 2, length, video_seconds)
    return Region(min(start, wider[0]), max(end, wider[1]), peak)


def _narrowed(region: Region, peak_seconds: float, length: float) -> Region:
    start, end, peak = region
    if end - start <= length:
        return region
    start = max(start, min(peak_seconds - length / 2, end - length))
    return Region(start, min(end, start + length), peak)


def propose(
    track: ScoreTrack,
    settings: SpanSettings,
    within: Mapping[str, Ranges] = _EVERYWHERE,
    min_scores: Mapping[str, float] = _NO_OWN,
) -> list[CandidateSpan]:
    """Returns the candidate spans of every action of a track, by action and rank.

    Spans lie inside `[0, decoded_seconds]` and hold their peak. Edges are whole milliseconds, but for one that sits
    on a shot boundary (or on a peak): that has the frame's own time.

    Args:
      track: The responses.
      settings: How spans are picked.
      within: For some actions, the ranges of time that their spans keep to.
      min_scores: For some actions, what holds for them in the place of `settings.min_score`.
    """
    video_seconds = _video_seconds(track)
    usual, spans = settings, list[CandidateSpan]()
    for column, action in enumerate(track.actions):
        settings = replace(usual, min_score=min_scores.get(action, usual.min_score))
        ranges = within.get(action, ((0.0, video_seconds),))
        responses = _smooth_within(track, column, settings, within.get(action))
        if settings.mode == "segments":
            regions = [
                _kept_to(_range_of(float(track.times[region.peak]), ranges, video_seconds), region)
                for region in pick_regions(track.times, responses, video_seconds, settings)
            ]
        else:
            regions = [
                _around(track, peak, ranges, video_seconds, settings)
                for peak in pick_peaks(track.times, responses, settings)
            ]
        placed = _clear_of_boundaries(track, regions, ranges, video_seconds, settings)
        spans += _candidates(track, action, responses, placed, settings)
    return spans


def _smooth_within(track: ScoreTrack, column: int, settings: SpanSettings, ranges: Ranges | None) -> np.ndarray:
    """Returns the responses of an action after smoothing; outside of ranges they are not a number."""
    responses = track.responses[:, column]
    if ranges is None:
        return smooth(track.times, responses, settings.smooth_seconds)
    inside = np.zeros(len(track.times), bool)
    for start, end in ranges:
        inside |= (track.times >= start) & (track.times < end)
    return np.where(inside, smooth(track.times, np.where(inside, responses, np.nan), settings.smooth_seconds), np.nan)


def _range_of(seconds: float, ranges: Ranges, video_seconds: float) -> tuple[float, float]:
    start, end = next(((start, end) for start, end in ranges if start <= seconds < end), (0.0, video_seconds))
    return start, min(end, video_seconds)


def _around(track: ScoreTrack, peak: int, ranges: Ranges, video_seconds: float, settings: SpanSettings) -> Region:
    seconds = float(track.times[peak])
    low, high = _range_of(seconds, ranges, video_seconds)
    start, end = window(seconds - low, settings.clip_seconds, high - low, settings.edges)
    return Region(low + start, low + end, peak)


def _kept_to(bounds: tuple[float, float], region: Region) -> Region:
    return Region(max(bounds[0], region.start_seconds), min(bounds[1], region.end_seconds), region.peak)


def _video_seconds(track: ScoreTrack) -> float:
    """Returns the video's end in whole milliseconds and not behind `decoded_seconds`, unless the last sample is."""
    end = round(track.decoded_seconds, 3)
    if end > track.decoded_seconds + 1e-6:
        end = round(end - 0.001, 3)
    return end if len(track.times) and end > track.times[-1] else track.decoded_seconds


def _clear_of_boundaries(
    track: ScoreTrack, regions: list[Region], ranges: Ranges, video_seconds: float, settings: SpanSettings
) -> list[Region]:
    """Places regions, best first, with regard to the shot boundaries; segments stay clear of each other."""
    placed = list(regions)
    for number, (start, end, peak) in enumerate(regions):
        low, high = _range_of(float(track.times[peak]), ranges, video_seconds)
        if settings.mode == "segments":
            low = max((other.end_seconds for other in placed if other.end_seconds <= start), default=low)
            high = min((other.start_seconds for other in placed if other.start_seconds >= end), default=high)
        peak_seconds = float(track.times[peak])
        moved = shots.fit(
            (start, end), peak_seconds, track.shot_boundaries, settings.shots, settings.min_span_seconds, (low, high)
        )
        placed[number] = Region(*moved, peak)
    return placed


def _candidates(
    track: ScoreTrack, action: str, responses: np.ndarray, regions: list[Region], settings: SpanSettings
) -> list[CandidateSpan]:
    peaks = [float(track.times[region.peak]) for region in regions]
    shared = peaks if settings.mode == "segments" else []  # edges that meet are to be rounded alike
    spans: dict[tuple[float, float], CandidateSpan] = {}
    for region, peak in zip(regions, peaks, strict=True):
        fixed = sorted((*track.shot_boundaries, *shared, peak))
        start = shots.to_milliseconds(region.start_seconds, fixed)
        end = max(shots.to_milliseconds(region.end_seconds, fixed), start + 0.001)
        if (start, end) in spans:  # two peaks of a short video or shot, shifted to one and the same span
            continue
        spans[start, end] = CandidateSpan(
            key=track.key,
            action=action,
            start_seconds=start,
            end_seconds=end,
            peak_seconds=max(start, round(peak, 6)),
            peak_frame=int(track.frame_indices[region.peak]),
            score=float(responses[region.peak]),
            rank=len(spans) + 1,
            top_label=track.top_labels[region.peak],
            top_score=float(track.top_scores[region.peak]),
            shot_boundaries=shots.crossed(start, end, track.shot_boundaries),
        )
    return list(spans.values())


def removed_by(
    track: ScoreTrack,
    settings: SpanSettings,
    within: Mapping[str, Ranges] = _EVERYWHERE,
    min_scores: Mapping[str, float] = _NO_OWN,
) -> dict[str, dict[str, float | None]]:
    """Tells for every action how many of its samples each threshold rules out: why there is no span. See `propose`.

    Returns:
      For each action `samples`, how many there are; `below_min_score` and `below_high_score`, how many do not reach
      that threshold (none fall below `high_score` in mode `peaks`, which does not use it); `strongest`, the best
      response after smoothing, None where there is none.
    """
    removed: dict[str, dict[str, float | None]] = {}
    for column, action in enumerate(track.actions):
        responses = _smooth_within(track, column, settings, within.get(action))
        known = responses[~np.isnan(responses)]
        low = ~(responses >= settings.high_score) if settings.mode == "segments" else np.zeros(0)
        removed[action] = {
            "samples": len(responses),
            "below_min_score": int(np.count_nonzero(~(responses >= min_scores.get(action, settings.min_score)))),
            "below_high_score": int(np.count_nonzero(low)),
            "strongest": float(known.max()) if len(known) else None,
        }
    return removed
