"""Which decoded frames become samples: every n-th, or the first at or after each tick of a clock."""

import math
from dataclasses import dataclass

#: Ticks and times come from integer timestamps; a difference below this is rounding.
_EPSILON_SECONDS = 1e-6


@dataclass(frozen=True)
class Sampling:
    """How frames are chosen. Exactly one of the two is set.

    Attributes:
      frame_stride: Every n-th frame, counted from the first of the video.
      fps: Samples per second: for each tick k / fps the first frame at or after it (one frame answers once).
    """

    frame_stride: int | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        if (self.frame_stride is None) == (self.fps is None):
            raise ValueError(f"exactly one of frame_stride and fps is needed, not {self!r}")

    def chooser(self) -> "Chooser":
        """Returns a chooser for one video."""
        return Chooser(self)


class Chooser:
    """Tells of each frame of one video, in order, whether it is a sample."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._next_tick = 0

    def takes(self, index: int, time_seconds: float) -> bool:
        """Returns whether the frame number `index` (from 0) at `time_seconds` is a sample."""
        if self._sampling.frame_stride is not None:
            return index % self._sampling.frame_stride == 0
        assert self._sampling.fps is not None
        ticks_passed = math.floor((time_seconds + _EPSILON_SECONDS) * self._sampling.fps)
        if ticks_passed < self._next_tick:
            return False
        self._next_tick = ticks_passed + 1
        return True
