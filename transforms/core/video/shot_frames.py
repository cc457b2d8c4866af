"""From decoded frames to shot boundaries: the small picture of each frame, and the detector that compares them."""

from collections.abc import Callable, Iterator

import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import Interpolation, VideoReformatter

from clipscout.transforms.core.video import containers
from clipscout.transforms.core.video.shot_boundaries import BoundaryDetector
from clipscout.transforms.core.video.thumbnails import THUMBNAIL_FORMAT, THUMBNAIL_HEIGHT, THUMBNAIL_WIDTH


class ShotFinder:
    """Finds the shot boundaries of a video or segment while it is decoded; see `BoundaryDetector`.

    Args:
      flags: Gets `shots_unknown` where they cannot be found.
      sees_all: Whether every frame is decoded, or can be; among some of them nothing can be found.
      frames_between: Gives all frames between two times, with their times, also those that were passed.
    """

    def __init__(
        self,
        flags: set[str],
        sees_all: bool = True,
        frames_between: Callable[[float, float], Iterator[tuple[VideoFrame, float]]] | None = None,
    ) -> None:
        self._flags, self._frames_between = flags, frames_between
        self._scaler = VideoReformatter()
        self._detector: BoundaryDetector | None = BoundaryDetector(self._look_again)
        self._passed = 0
        if not sees_all:
            self._give_up()

    def add(self, frame: VideoFrame, time_seconds: float) -> list[float]:
        """Takes the next frame; returns the boundaries that it made certain, in seconds."""
        if self._detector is None:
            return []
        try:
            thumbnail = self._thumbnail(frame)
        except MemoryError:
            raise
        except containers.DAMAGE:  # a kind of picture that the scaler does not know
            self._give_up()
            return []
        passed, self._passed = self._passed, 0
        found = self._detector.add(time_seconds, thumbnail, passed)
        return found if self._detector else []

    def pass_by(self) -> None:
        """Takes note of a frame that comes next and was not decoded."""
        self._passed += 1

    def settled(self, seconds: float) -> bool:
        """Tells whether all boundaries before a time were told."""
        return self._detector is None or self._detector.settled(seconds)

    def finish(self) -> list[float]:
        """Returns the boundaries that were not certain so far; no frame follows."""
        found = self._detector.finish() if self._detector else []
        return found if self._detector else []

    def _look_again(self, first_seconds: float, last_seconds: float) -> list[tuple[float, np.ndarray]]:
        """Returns the times of all frames between two, and their small pictures, as far as they can be had."""
        seen: list[tuple[float, np.ndarray]] = []
        try:
            for frame, seconds in self._frames_between(first_seconds, last_seconds) if self._frames_between else ():
                seen.append((seconds, self._thumbnail(frame)))
        except MemoryError:  # there is none for a second decoder: samples are worth more than boundaries
            self._give_up()
        except containers.DAMAGE:
            pass
        return seen

    def _thumbnail(self, frame: VideoFrame) -> np.ndarray:
        small = self._scaler.reformat(
            frame,
            width=THUMBNAIL_WIDTH,
            height=THUMBNAIL_HEIGHT,
            format=THUMBNAIL_FORMAT,
            interpolation=Interpolation.FAST_BILINEAR,
            threads=1,
        )
        return bytes_of(small)

    def _give_up(self) -> None:
        self._detector = None
        self._flags.add("shots_unknown")


def bytes_of(frame: VideoFrame) -> np.ndarray:
    """Returns uint8[n]: a planar picture plane after plane; to_ndarray would take as long as scaling it."""
    return np.frombuffer(b"".join(map(_without_padding, frame.planes)), np.uint8)


def _without_padding(plane: VideoPlane) -> VideoPlane | bytes:
    if plane.line_size == plane.width:
        return plane
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width].tobytes()
