"""Walking through the frames of a video in order of time, once for all that is cut out of it."""

from collections.abc import Iterator
from typing import NamedTuple

import av.container
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from clipscout.transforms.core.video import containers, frames, seeking
from clipscout.transforms.core.video.seeking import EPSILON_SECONDS

#: A gap that is decoded rather than sought over, at first; longer ones once key frames turn out to be further apart.
_PATIENCE_SECONDS = 2.0


class Shown(NamedTuple):
    """A frame, width over height of its samples, and when it is shown, in seconds from the start of the stream."""

    frame: VideoFrame
    aspect: float
    seconds: float
    until_seconds: float

    @property
    def picture(self) -> frames.Picture:
        """The frame with the shape of its samples."""
        return frames.Picture(self.frame, self.aspect)


class FrameWalk:
    """The frames of a video: `go_to` a time, then `step` from frame to frame.

    The container is opened once; where its times allow seeking, long gaps are sought over. A seek that leads nowhere
    useful is made good by reading from the beginning.

    Args:
      container: The opened file.
      stream: Its picture.
      in_order: Whether the clock of the file jumps, so that it has to be read from its beginning.
    """

    def __init__(self, container: av.container.InputContainer, stream: VideoStream, in_order: bool = False) -> None:
        self._container, self._stream = container, stream
        self._can_seek = not in_order and seeking.can_seek(container, stream)
        self._patience_seconds = _PATIENCE_SECONDS
        self._next: frames.Timed | None = None
        self._seconds = 0.0  # up to here the frames are gone
        self._is_new = True
        self._read()

    def go_to(self, seconds: float) -> None:
        """Moves so that the frame that is shown at a time, if there is one, is still to come."""
        is_back = not self._is_new and seconds < self._seconds
        if self._is_new or is_back:
            may_seek = self._can_seek and seconds > self._patience_seconds
        elif self._next is not None:
            may_seek = self.is_far(seconds)
        else:  # behind damage there may be more
            may_seek = self._can_seek and "damaged" in self._report.flags
        if may_seek:
            self._seek(seconds)
        elif is_back:
            self._restart()
        if self._is_new:
            self._prime()
            if self._seconds and (self._next is None or self._next.seconds > seconds + EPSILON_SECONDS):
                self._restart()  # the key frame was none, or the index points behind it
                self._prime()

    def is_far(self, seconds: float) -> bool:
        """Tells whether a time is so far ahead that a seek may be worth it."""
        return self._can_seek and seconds - self._seconds > self._patience_seconds

    def step(self) -> Shown | None:
        """Returns the next frame; None at the end of what can be decoded."""
        if self._next is None:
            return None
        shown = self._next
        self._next = next(self._frames, None)
        self._seconds = self._report.decoded_seconds if self._next is None else self._next.seconds
        return Shown(*shown, self._seconds)

    def _prime(self) -> None:
        self._is_new, self._next = False, next(self._frames, None)

    def _read(self, first_stamp: int | None = None) -> None:
        self._report = frames.Report()
        self._frames: Iterator[frames.Timed] = frames.ordered_frames(
            self._container, self._stream, self._report, first_stamp=first_stamp
        )

    def _seek(self, seconds: float) -> None:
        """Goes to the last key frame before a time; to the beginning where there is no other way."""
        try:
            key = seeking.key_frame_before(self._container, self._stream, seconds)
            if key is not None:
                seeking.go_to(self._container, self._stream, key)
        except seeking.NoWayError:
            self._can_seek, key = False, None
        except MemoryError:
            raise
        except containers.DAMAGE:
            key = None
        if key is None:
            self._restart()
            return
        self._read(key.stamp)
        self._is_new = True
        self._seconds = (key.stamp - (self._stream.start_time or 0)) * float(self._stream.time_base or 1)
        self._patience_seconds = max(self._patience_seconds, seconds - self._seconds)

    def _restart(self) -> None:
        self._is_new, self._seconds = True, 0.0
        try:
            seeking.rewind(self._container)
            self._read()
        except MemoryError:
            raise
        except containers.DAMAGE:  # there is no way back
            self._frames = iter(())
