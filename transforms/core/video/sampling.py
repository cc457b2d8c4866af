"""Which decoded frames become samples, and how a long video is split into time ranges."""

import math
from dataclasses import dataclass

#: Ticks and times come from integer timestamps; a difference below this is rounding.
_EPSILON_SECONDS = 1e-6
_MOST_SEGMENTS = 1000


@dataclass(frozen=True)
class Sampling:
    """How frames are chosen. Exactly one of the three is set.

    Attributes:
      frame_stride: Every n-th frame, counted from the first of the video.
      fps: Samples per second: for each tick k / fps the first frame at or after it (one frame answers once).
      keyframes: The frames that the encoder made independent of others; the rest is not even decoded.
    """

    frame_stride: int | None = None
    fps: float | None = None
    keyframes: bool = False

    def __post_init__(self) -> None:
        if (self.frame_stride is not None) + (self.fps is not None) + self.keyframes != 1:
            raise ValueError(f"exactly one of frame_stride, fps and keyframes is needed, not {self!r}")

    def chooser(self) -> "Chooser":
        """Returns a chooser for one video, or for one segment of it."""
        return Chooser(self)

    def takes_after(self, before_seconds: float | None, time_seconds: float, index: int) -> bool:
        """Returns what a chooser says of a frame, without one: by the time of the frame before, None for the first."""
        if self.keyframes or self.frame_stride is not None:
            return Chooser(self).takes(index, time_seconds)
        assert self.fps is not None
        return before_seconds is None or tick_of(before_seconds, self.fps) < tick_of(time_seconds, self.fps)


class Chooser:
    """Tells of each frame, in order, whether it is a sample.

    Whether a frame is one depends on its index, or on its time and that of the frame before it, and on nothing earlier:
    so the samples of a segment are those of the whole video, given one frame of lead.
    """

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._next_tick = 0

    def takes(self, index: int, time_seconds: float) -> bool:
        """Returns whether the frame number `index` (from 0) at `time_seconds` is a sample."""
        if self._sampling.keyframes:
            return True
        if self._sampling.frame_stride is not None:
            return index % self._sampling.frame_stride == 0
        assert self._sampling.fps is not None
        ticks_passed = tick_of(time_seconds, self._sampling.fps)
        if ticks_passed < self._next_tick:
            return False
        self._next_tick = ticks_passed + 1
        return True


def tick_of(time_seconds: float, fps: float) -> int:
    """Returns the last tick k, at k / fps seconds, that a time has reached."""
    return math.floor((time_seconds + _EPSILON_SECONDS) * fps)


def segments(duration_seconds: float | None, segment_seconds: float) -> list[tuple[float, float | None]]:
    """Splits a video into time ranges [start, end) of about equal length; the last one is open.

    Args:
      duration_seconds: Claimed duration; None, where the container does not tell, gives one range.
      segment_seconds: Longest range; 0 gives one range.
    """
    if not duration_seconds or segment_seconds <= 0:
        return [(0.0, None)]
    count = min(_MOST_SEGMENTS, max(1, math.ceil(duration_seconds / segment_seconds)))
    edges = [round(duration_seconds * index / count, 3) for index in range(count)]
    return list(zip(edges, [*edges[1:], None], strict=True))


def can_split(container_name: str, codec: str, by_index: bool) -> bool:
    """Tells whether segments of a video give the samples of the whole.

    Times after a seek are right only where the container stores presentation times; indices can be counted without
    decoding only where each packet is one frame.
    """
    seekable = container_name.partition(",")[0] in ("mov", "matroska", "flv", "ogg")
    return seekable and (not by_index or codec in ("h264", "hevc"))
