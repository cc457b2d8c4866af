"""Picking spans: the strongest responses of a track, spaced in time, and the window around each.

Method: Kinetics-400, arXiv 1705.06950, section 3 ("clips around the top k = 2 responses"); non-maximum suppression in
time keeps neighbouring frames of one response from filling the top k.
"""

from dataclasses import dataclass

import numpy as np

from transforms.records import CandidateSpan, ScoreTrack


@dataclass(frozen=True)
class SpanRule:
    """How spans are picked.

    Attributes:
      clip_seconds: Length of a span.
      top_k: Most spans per video and action.
      min_score: Weakest response that may become a peak.
      min_gap_seconds: Least distance between two peaks of one action.
      edges: At the video's edges `shift` keeps a span's length, `clamp` (the notebook's step 6) shortens it.
    """

    clip_seconds: float = 10.0
    top_k: int = 2
    min_score: float = 0.0
    min_gap_seconds: float = 10.0
    edges: str = "shift"


def pick_peaks(times: np.ndarray, responses: np.ndarray, rule: SpanRule) -> list[int]:
    """Returns the indices of the strongest samples, best first, at least `min_gap_seconds` apart.

    Greedy non-maximum suppression. Equal responses: the earlier sample wins.

    Args:
      times: float64[n] seconds, ascending.
      responses: float32[n].
      rule: How many, how far apart, how strong.
    """
    order = np.lexsort((times, -responses.astype(np.float64)))
    peaks: list[int] = []
    free = responses >= rule.min_score
    for index in order:
        if len(peaks) == rule.top_k:
            break
        if free[index]:
            peaks.append(int(index))
            free &= np.abs(times - times[index]) >= rule.min_gap_seconds
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


def propose(track: ScoreTrack, rule: SpanRule) -> list[CandidateSpan]:
    """Returns the candidate spans of every action of a track, by action and rank."""
    spans = []
    for column, action in enumerate(track.actions):
        responses = track.responses[:, column]
        taken: set[tuple[float, float]] = set()
        for index in pick_peaks(track.times, responses, rule):
            peak = float(track.times[index])
            start, end = (round(edge, 3) for edge in window(peak, rule.clip_seconds, track.decoded_seconds, rule.edges))
            end = max(end, start + 0.001)
            if (start, end) in taken:  # two peaks of a short video, shifted to one and the same span
                continue
            taken.add((start, end))
            spans.append(
                CandidateSpan(
                    key=track.key,
                    action=action,
                    start_seconds=start,
                    end_seconds=end,
                    peak_seconds=round(peak, 6),
                    peak_frame=int(track.frame_indices[index]),
                    score=float(responses[index]),
                    rank=len(taken),
                    top_label=track.top_labels[index],
                    top_score=float(track.top_scores[index]),
                )
            )
    return spans
