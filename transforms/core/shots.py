"""Shots: frames that begin a new one, and spans that keep clear of them. Imports numpy alone: it runs in the decoder.

A cut is the time of the first frame of a new shot. A span `[start, end)` crosses a cut that lies strictly inside it:
one that begins or ends at a cut's own time holds a single shot.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence

import numpy as np

#: The picture that `CutFinder` compares, for a fast scaler (fast bilinear): the threshold below was chosen on it.
THUMBNAIL_WIDTH, THUMBNAIL_HEIGHT, THUMBNAIL_FORMAT = 32, 18, "yuv420p"
#: Least mean difference (0..255) from the frame before, and least multiple of the motion before it.
CUT_THRESHOLD = 10.0
CUT_RATIO = 3.0
#: A second cut so soon after another is the way back from a flash.
MIN_SHOT_SECONDS = 0.2
#: Over more time than this between two frames motion looks like a cut: such a frame is none.
MAX_FRAME_SECONDS = 0.3

#: Motion is what the last differences show: at most so many, and none that begins longer ago. With `MIN_SHOT_SECONDS`
#: that is less than the second by which a segment's decoding starts early.
_RECENT_FRAMES = 8
_RECENT_SECONDS = 0.75
#: A repeated frame (24 pictures shown at 60 Hz) says nothing about motion.
_REPEAT = 1.0
_ROUNDING_SECONDS = 1e-9


class CutFinder:
    """Tells frame by frame whether a new shot begins; one for each video or segment.

    Method: the adaptive detector of PySceneDetect (a difference is a cut where it stands out among its neighbours, so
    that fast motion is none), with the frames before as the only neighbours, their median instead of their mean, and
    the limit on the difference raised with the motion. Fades and dissolves are not found, nor anything in videos of
    three frames a second or among key frames alone.

    What it says of a frame depends on the frames of the last second alone: so a segment that is decoded from a second
    before its start has the cuts of the whole video.
    """

    def __init__(self, threshold: float = CUT_THRESHOLD, ratio: float = CUT_RATIO) -> None:
        self._threshold, self._ratio = threshold, ratio
        self._before: np.ndarray | None = None
        self._before_seconds = 0.0
        self._jump_seconds: float | None = None  # of the last frame that stood out, whether or not it was a cut
        #: Time of the first of the two frames, and their difference.
        self._recent: deque[tuple[float, float]] = deque(maxlen=_RECENT_FRAMES)

    def add(self, time_seconds: float, thumbnail: np.ndarray) -> bool:
        """Takes the next frame and tells whether it begins a new shot; the first one never does.

        Args:
          time_seconds: Presentation time; ascends from call to call.
          thumbnail: uint8[...], the small picture with all its planes, of one shape in all calls; it is copied.

        Raises:
          ValueError: The shape is not that of the call before.
        """
        before, self._before = self._before, thumbnail.copy()
        if before is None:
            return self._first(time_seconds)
        if before.shape != thumbnail.shape:
            raise ValueError(f"thumbnail is {thumbnail.shape}, the one before was {before.shape}")
        # bytes cannot be negative; the call for each frame has to be quick
        changes = np.maximum(thumbnail, before) - np.minimum(thumbnail, before)
        return self._next(time_seconds, int(np.add.reduce(changes, axis=None, dtype=np.int64)) / changes.size)

    def _first(self, time_seconds: float) -> bool:
        self._before_seconds = self._jump_seconds = time_seconds
        return False

    def _next(self, time_seconds: float, difference: float) -> bool:
        oldest = time_seconds - _RECENT_SECONDS
        recent = [other for since, other in self._recent if since >= oldest]
        self._recent.append((self._before_seconds, difference))
        late = time_seconds - self._before_seconds > MAX_FRAME_SECONDS
        self._before_seconds = time_seconds
        if late or not stands_out(difference, recent, self._threshold, self._ratio):
            return False
        last, self._jump_seconds = self._jump_seconds, time_seconds
        return last is None or time_seconds - last >= MIN_SHOT_SECONDS - _ROUNDING_SECONDS


def stands_out(
    difference: float, recent: Sequence[float], threshold: float = CUT_THRESHOLD, ratio: float = CUT_RATIO
) -> bool:
    """Tells whether a difference is too large for motion, given the few before it.

    The motion is the lower median of the recent differences, without repeated frames; a single one may be a cut
    itself and is no motion. A difference stands out at `ratio` times the motion, and at `threshold` above twice the
    motion.
    """
    moving = sorted(other for other in recent if other >= _REPEAT)
    motion = moving[(len(moving) - 1) // 2] if len(moving) > 1 else 0.0
    return difference >= max(threshold + 2 * motion, ratio * motion)


def crossed(start_seconds: float, end_seconds: float, cuts: Sequence[float]) -> int:
    """Returns how many of the cuts, seconds in ascending order, lie strictly inside a span."""
    return max(0, bisect_left(cuts, end_seconds) - bisect_right(cuts, start_seconds))


def place(
    span: tuple[float, float],
    peak_seconds: float,
    cuts: Sequence[float],
    mode: str,
    min_seconds: float,
    limits: tuple[float, float],
) -> tuple[float, float]:
    """Returns start and end of a span, moved off the cuts; its peak stays inside.

    A span that could only keep clear of the cuts by becoming shorter than `min_seconds` is returned as it was.

    Args:
      span: Start and end in seconds, inside the limits.
      peak_seconds: A time in [start, end).
      cuts: Seconds, ascending.
      mode: `avoid` shifts the span into the shot that holds the peak, as little as it can, and shortens it to that
        shot where it is longer; `trim` cuts off what lies beyond that shot; `ignore` does nothing.
      min_seconds: The shortest span that may be made.
      limits: The range of time that the span may use: the video, or what its neighbours leave.
    """
    start, end = span
    if mode == "ignore" or not crossed(start, end, cuts):
        return span
    after = bisect_right(cuts, peak_seconds)
    low = max(limits[0], cuts[after - 1]) if after else limits[0]
    high = min(limits[1], cuts[after]) if after < len(cuts) else limits[1]
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

    So an edge at a cut keeps the cut's own time, a span that holds its peak still does, and edges keep their order.

    Args:
      edge_seconds: Start or end of a span.
      fixed: Seconds in ascending order: the cuts and the peaks.
    """
    rounded = round(edge_seconds, 3)
    low, high = min(edge_seconds, rounded), max(edge_seconds, rounded)
    following = bisect_left(fixed, low)
    return edge_seconds if following < len(fixed) and fixed[following] <= high else rounded
