"""From samples to the windows that a video model sees: the same windows, however a video was split into segments."""

import math
from collections import deque
from collections.abc import Iterator

import numpy as np

from clipscout.transforms.core.classifiers.specs import Window
from clipscout.transforms.core.video.sampling import Sampling, tick_of

#: A window: the time of its centre, the place of its middle frame, and uint8[frames, h, w, 3].
Placed = tuple[float, int, np.ndarray]


class Windows:
    """Joins the samples of a segment to windows.

    Samples stand on a grid: tick k of `fps`, or every n-th frame. Where the video has no frame between two ticks, a
    sample answers both, so that a window always spans the same time. Window j starts at tick j * step, and the last
    one ends with the video. A segment gives those whose centre lies in it, and needs samples of `margin_seconds`
    around it.

    Args:
      window: Frames per window and step.
      sampling: How the samples were chosen, by `fps` or `frame_stride`.
      start_seconds, end_seconds: The segment, [start, end); None is the end of the video.
    """

    def __init__(self, window: Window, sampling: Sampling, start_seconds: float, end_seconds: float | None) -> None:
        self._window, self._sampling = window, sampling
        self._start, self._end = start_seconds, end_seconds
        #: Tick, time, index and picture of the last samples.
        self._held: deque[tuple[int, float, int, np.ndarray]] = deque(maxlen=window.frames)
        self._next_start = 0
        self._last_start = -1
        self._last_centre = -1.0

    def add(self, time_seconds: float, index: int, frame: np.ndarray) -> Iterator[Placed]:
        """Takes the next sample; yields the windows that it completes."""
        if self._held and frame.shape != self._held[-1][3].shape:  # a picture of another size starts anew
            yield from self.finish()
            self._held.clear()
        tick = self._tick(index, time_seconds)
        first = self._held[-1][0] + 1 if self._held else tick
        if tick - first >= self._window.frames:  # a gap longer than a window starts anew
            self._held.clear()
            first = tick
        for answered in range(first, tick + 1):
            if not self._held:
                self._next_start = math.ceil(answered / self._window.step) * self._window.step
            self._held.append((answered, time_seconds, index, frame))
            if answered - self._next_start + 1 >= self._window.frames:
                yield from self._placed()
                self._next_start += self._window.step

    def finish(self) -> Iterator[Placed]:
        """Yields the window that ends with the last sample, if it was not yet; a short video's last frame repeats."""
        if self._held and self._held[0][0] > self._last_start:
            yield from self._placed()

    def _tick(self, index: int, time_seconds: float) -> int:
        if self._sampling.frame_stride is not None:
            return index // self._sampling.frame_stride
        assert self._sampling.fps is not None
        return tick_of(time_seconds, self._sampling.fps)

    def _placed(self) -> Iterator[Placed]:
        """Yields the window of the samples that are held, if its centre lies in the segment."""
        taken = list(self._held)
        self._last_start = taken[0][0]
        centre = (taken[0][1] + taken[-1][1]) / 2
        if centre < self._start or (self._end is not None and centre >= self._end) or centre <= self._last_centre:
            return
        self._last_centre = centre
        frames = [frame for _, _, _, frame in taken]
        frames += [frames[-1]] * (self._window.frames - len(frames))
        yield centre, taken[len(taken) // 2][2], np.stack(frames)


def margin_seconds(window: Window | None, sampling: Sampling, frame_rate: float) -> float:
    """Returns how far around a segment samples are needed.

    Args:
      window: None for image models, which need none.
      sampling: How samples are chosen.
      frame_rate: Frames per second of the video, 0 where unknown.
    """
    if window is None:
        return 0.0
    fps = sampling.fps or (frame_rate or 1.0) / (sampling.frame_stride or 1)
    return (window.frames + window.step + 1) / fps + 1.0
