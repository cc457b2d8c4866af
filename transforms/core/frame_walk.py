"""Walking through the frames of a video in order of time, once for all that is cut out of it."""

from collections.abc import Iterator
from typing import NamedTuple

import av.container
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from transforms.core import decode, media, seeking
from transforms.core.clip_facts import EPSILON_SECONDS

#: A gap that is decoded rather than sought over, at first; longer ones once key frames turn out to be further apart.
_PATIENCE_SECONDS = 2.0


class Shown(NamedTuple):
    """A frame and when a player shows it, in seconds from the start of the stream."""

    frame: VideoFrame
    seconds: float
    until_seconds: float


def frame_seconds(stream: VideoStream) -> float:
    """Returns the nominal duration of a frame of the stream."""
    rate = stream.average_rate or stream.guessed_rate or 25
    return 1 / float(rate)


class FrameWalk:
    """The frames of a video: `go_to` a time, then `step` from frame to frame.

    The container is opened once; where its times allow seeking, long gaps are sought over. A seek that leads nowhere
    useful is made good by reading from the beginning.
    """

    def __init__(self, container: av.container.InputContainer, stream: VideoStream) -> None:
        self._container, self._stream = container, stream
        self._can_seek = seeking.can_seek(container, stream)
        self._patience_seconds = _PATIENCE_SECONDS
        self._next: tuple[VideoFrame, float] | None = None
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
            if self._seconds and (self._next is None or self._next[1] > seconds + EPSILON_SECONDS):
                self._restart()  # the key frame was none, or the index points behind it
                self._prime()

    def is_far(self, seconds: float) -> bool:
        """Tells whether a time is so far ahead that a seek may be worth it."""
        return self._can_seek and seconds - self._seconds > self._patience_seconds

    def step(self) -> Shown | None:
        """Returns the next frame; None at the end of what can be decoded."""
        if self._next is None:
            return None
        frame, seconds = self._next
        self._next = next(self._frames, None)
        if self._next is not None:
            until = self._next[1]
        elif frame.duration and self._stream.time_base:
            until = seconds + float(frame.duration * self._stream.time_base)
        else:
            until = seconds + frame_seconds(self._stream)
        self._seconds = until
        return Shown(frame, seconds, until)

    def _prime(self) -> None:
        self._is_new, self._next = False, next(self._frames, None)

    def _read(self, first_stamp: int | None = None) -> None:
        self._report = decode.Report()
        self._frames: Iterator[tuple[VideoFrame, float]] = decode.ordered_frames(
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
        except media.DAMAGE:
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
        except media.DAMAGE:  # there is no way back
            self._frames = iter(())
