"""From decoded frames to shot boundaries: the small picture of each frame, and the detector that compares them."""

import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import Interpolation, VideoReformatter

from clipscout.transforms.core.video import containers
from clipscout.transforms.core.video.shot_boundaries import (
    THUMBNAIL_FORMAT,
    THUMBNAIL_HEIGHT,
    THUMBNAIL_WIDTH,
    BoundaryDetector,
)


class ShotFinder:
    """Finds the shot boundaries of a video or segment while it is decoded; see `BoundaryDetector`.

    Args:
      flags: Gets `shots_unknown` where they cannot be found.
      sees_all: Whether every frame is decoded; among some of them nothing can be found.
    """

    def __init__(self, flags: set[str], sees_all: bool = True) -> None:
        self._flags = flags
        self._scaler = VideoReformatter()
        self._detector: BoundaryDetector | None = BoundaryDetector()
        if not sees_all:
            self._give_up()

    def add(self, frame: VideoFrame, time_seconds: float) -> list[float]:
        """Takes the next frame; returns the boundaries that it made certain, in seconds."""
        if self._detector is None:
            return []
        try:
            small = self._scaler.reformat(
                frame,
                width=THUMBNAIL_WIDTH,
                height=THUMBNAIL_HEIGHT,
                format=THUMBNAIL_FORMAT,
                interpolation=Interpolation.FAST_BILINEAR,
                threads=1,
            )
        except MemoryError:
            raise
        except containers.DAMAGE:  # a kind of picture that the scaler does not know
            self._give_up()
            return []
        return self._detector.add(time_seconds, bytes_of(small))

    def settled(self, seconds: float) -> bool:
        """Tells whether all boundaries before a time were told."""
        return self._detector is None or self._detector.settled(seconds)

    def finish(self) -> list[float]:
        """Returns the boundaries that were not certain so far; no frame follows."""
        return [] if self._detector is None else self._detector.finish()

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
