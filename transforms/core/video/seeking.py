"""Going to a place in a video without reading all that is before it, where the container allows that."""

import math
from dataclasses import dataclass

import av.container
from av.video.stream import VideoStream

from clipscout.transforms.core.video import containers

#: A frame belongs to a span when its time is in [start, end); times are compared with this much room for rounding.
EPSILON_SECONDS = 5e-4
#: MPEG-TS has no index: a seek lands anywhere. So many seconds earlier is tried until a key frame is found.
_LEADS_SECONDS = (0.0, 4.0, 16.0)
_TIMELESS = ("avi", "mpeg", "gif", "asf")


@dataclass(frozen=True)
class KeyFrame:
    """A key frame and the way to it.

    Attributes:
      stamp: Its presentation time in ticks of the stream.
      target: What to seek to, in the same ticks, so that reading comes to it.
    """

    stamp: int
    target: int


class NoWayError(Exception):
    """No seek leads to the wanted place; the container has to be read from its beginning."""


def can_seek(container: av.container.InputContainer, stream: VideoStream) -> bool:
    """Times after a seek are those of the scoring only where the container stores presentation times."""
    return container.format.name not in _TIMELESS and stream.start_time is not None


def go_to(container: av.container.InputContainer, stream: VideoStream, key: KeyFrame) -> None:
    """Seeks to a key frame that was found."""
    container.seek(key.target, stream=stream, backward=True)


def rewind(container: av.container.InputContainer) -> None:
    """Goes to the beginning; where the clock may jump, times do not tell where that is."""
    if containers.clock_may_jump(container):
        container.seek(0, unsupported_byte_offset=True)
    else:
        container.seek(0, backward=True)


def last_tick(stream: VideoStream, seconds: float) -> int:
    """Returns the last presentation time, in ticks, that counts as at or before a time from the start of the stream."""
    return math.floor((seconds + EPSILON_SECONDS) / float(stream.time_base or 1)) + (stream.start_time or 0)


def first_tick(stream: VideoStream, seconds: float) -> int:
    """Returns the first presentation time, in ticks, that counts as at or after a time from the start of the stream."""
    return math.ceil((seconds - EPSILON_SECONDS) / float(stream.time_base or 1)) + (stream.start_time or 0)


def key_frame_before(container: av.container.InputContainer, stream: VideoStream, seconds: float) -> KeyFrame | None:
    """Returns the last key frame at or before a time in seconds from the start of the stream.

    It is found by the packets alone, without decoding; where the container then stands is left open.

    Returns:
      None where the nearest way is from the beginning.

    Raises:
      NoWayError: None was found, although seeks tried as far back as is sensible.
    """
    latest = last_tick(stream, seconds)
    for lead in _LEADS_SECONDS:
        if seconds - lead <= 0:
            return None
        target = last_tick(stream, seconds - lead)
        stamp = None
        try:
            container.seek(target, stream=stream, backward=True)
            for packet in container.demux(stream):
                if packet.pts is None:
                    continue
                if packet.is_keyframe and packet.pts <= latest:
                    stamp = packet.pts
                elif packet.pts > latest:  # no key frame is decoded after a frame that is shown later
                    break
        except MemoryError:
            raise
        except containers.DAMAGE:
            continue
        if stamp is not None:
            return KeyFrame(stamp, target)
    raise NoWayError
