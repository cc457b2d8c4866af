"""Spans that keep clear of shot boundaries, which `shot_boundaries` finds.

A shot boundary is the time of the first frame of a new shot. A span `[start, end)` crosses one that lies strictly
inside it: one that begins or ends at a boundary's own time holds a single shot.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

_ROUNDING_SECONDS = 1e-9


def crossed(start_seconds: float, end_seconds: float, boundaries: Sequence[float]) -> int:
    """Returns how many of the boundaries, seconds in ascending order, lie strictly inside a span."""
    return max(0, bisect_left(boundaries, end_seconds) - bisect_right(boundaries, start_seconds))


def fit(
    span: tuple[float, float],
    peak_seconds: float,
    boundaries: Sequence[float],
    mode: str,
    min_seconds: float,
    limits: tuple[float, float],
) -> tuple[float, float]:
    """Returns start and end of a span, moved off the boundaries; its peak stays inside.

    A span that could only keep clear of the boundaries by becoming shorter than `min_seconds` is returned as it was.

    Args:
      span: Start and end in seconds, inside the limits.
      peak_seconds: A time in [start, end).
      boundaries: Seconds, ascending.
      mode: `avoid` shifts the span into the shot that holds the peak, as little as it can, and shortens it to that
        shot where it is longer; `trim` cuts off what lies beyond that shot; `ignore` does nothing.
      min_seconds: The shortest span that may be made.
      limits: The range of time that the span may use: the video, or what its neighbours leave.
    """
    start, end = span
    if mode == "ignore" or not crossed(start, end, boundaries):
        return span
    after = bisect_right(boundaries, peak_seconds)
    low = max(limits[0], boundaries[after - 1]) if after else limits[0]
    high = min(limits[1], boundaries[after]) if after < len(boundaries) else limits[1]
    length = end - start
    if mode == "trim" or high - low <= length:
        moved = (max(start, low), min(end, high)) if mode == "trim" else (low, high)
    else:
        shifted = max(low, min(max(start, low), high - length))
        moved = shifted, min(high, shifted + length)
    short = moved[1] - moved[0] < min(min_seconds, length) - _ROUNDING_SECONDS
    return span if short else moved


def to_milliseconds(edge_seconds: float, fixed: Sequence[float]) -> float:
    """Returns the edge of a span rounded to milliseconds, or as it is where that would cross or touch a fixed time.

    So an edge at a boundary keeps the boundary's own time, a span that holds its peak still does, and edges keep their
    order.

    Args:
      edge_seconds: Start or end of a span.
      fixed: Seconds in ascending order: the boundaries and the peaks.
    """
    rounded = round(edge_seconds, 3)
    low, high = min(edge_seconds, rounded), max(edge_seconds, rounded)
    following = bisect_left(fixed, low)
    return edge_seconds if following < len(fixed) and fixed[following] <= high else rounded
