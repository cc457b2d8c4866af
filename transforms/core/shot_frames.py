"""From decoded frames to shot boundaries: the small picture of each frame, and the detector that compares them."""

import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import Interpolation, VideoReformatter

from transforms.core.shot_boundaries import (
    THUMBNAIL_FORMAT,
    THUMBNAIL_HEIGHT,
    THUMBNAIL_WIDTH,
    BoundaryDetector,
)


class ShotFinder:
    """Finds the shot boundaries of a video or segment while it is decoded; see `BoundaryDetector`."""

    def __init__(self) -> None:
        self._scaler = VideoReformatter()
        self._detector = BoundaryDetector()
        self.settled = self._detector.settled
        self.finish = self._detector.finish

    def add(self, frame: VideoFrame, time_seconds: float) -> list[float]:
        """Takes the next frame; returns the boundaries that it made certain, in seconds."""
        small = self._scaler.reformat(
            frame,
            width=THUMBNAIL_WIDTH,
            height=THUMBNAIL_HEIGHT,
            format=THUMBNAIL_FORMAT,
            interpolation=Interpolation.FAST_BILINEAR,
            threads=1,
        )
        return self._detector.add(time_seconds, bytes_of(small))


def bytes_of(frame: VideoFrame) -> np.ndarray:
    """Returns uint8[n]: a planar picture plane after plane; to_ndarray would take as long as scaling it."""
    return np.frombuffer(b"".join(map(_without_padding, frame.planes)), np.uint8)


def _without_padding(plane: VideoPlane) -> VideoPlane | bytes:
    if plane.line_size == plane.width:
        return plane
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width].tobytes()
