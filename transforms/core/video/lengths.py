"""How long a video is: what its packets say, whatever its header promises."""

from collections import deque
from collections.abc import Generator, Sequence

import av.container
from av.stream import Stream
from av.video.stream import VideoStream

from clipscout.transforms.core.child.protocol import SIGN_OF_LIFE, Item
from clipscout.transforms.core.video import containers, frames, seeking

#: So long before the promised end is looked for packets; then from the beginning.
_BACK_SECONDS = (2.0, 10.0, 60.0, 600.0)
#: The latest end among so many packets is the end: pictures are not stored in the order in which they are shown.
_LAST_PACKETS = 16
_SIGN_OF_LIFE_PACKETS = 20_000
_ROUNDING_SECONDS = 1.0

_Ends = dict[int, float]


def promised_seconds(container: av.container.InputContainer, stream: VideoStream) -> float | None:
    """Returns the duration that the header promises, from the picture's start; None where it does not.

    In containers whose clock may jump there is no promise, only FFmpeg's guess. Elsewhere it is that of the stream, or
    else of the container, whose sound may begin before the picture and end after it.
    """
    if containers.clock_may_jump(container):
        return None
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if not container.duration:
        return None
    begin = (container.start_time or 0) / 1e6
    # Matroska counts its duration from 0, not from the start of a recording that begins late
    end = container.duration / 1e6 + (0.0 if "matroska" in container.format.name else begin)
    return max(0.0, end - _picture_start(stream, begin))


def measured_seconds(
    container: av.container.InputContainer, stream: VideoStream
) -> Generator[Item, None, float | None]:
    """Finds out, without decoding, when the last picture ends, in seconds from the first.

    Where the clock of a container may jump every packet is read, elsewhere those at the end.

    Yields:
      Signs of life.

    Returns:
      The duration; None where no packet tells a time.
    """
    ends = yield from _ends(container, stream, containers.programme(container, stream))
    return ends.get(stream.index)


def is_all_there(
    container: av.container.InputContainer, stream: VideoStream, seconds: float
) -> Generator[Item, None, bool]:
    """Tells whether packets of any stream reach a time that a header promises, in seconds from the picture's start.

    Fragments of a longer file promise its end: a time from zero.

    Yields:
      Signs of life.
    """
    streams = [other for other in container.streams if other.type in ("video", "audio")]
    begin = max(0.0, _picture_start(stream, 0.0))
    ends = yield from _ends(container, stream, streams)
    return begin + max(ends.values(), default=0.0) > seconds - _ROUNDING_SECONDS


def _ends(
    container: av.container.InputContainer, picture: VideoStream, streams: Sequence[Stream]
) -> Generator[Item, None, _Ends]:
    """Returns when the last packet of each stream ends, in seconds from the picture's start, as far as it was seen."""
    begin = (container.start_time or 0) / 1e6
    start, promised = _picture_start(picture, begin), promised_seconds(container, picture)
    for back in _BACK_SECONDS if promised else ():
        target = start + (promised or 0.0) - back
        if target <= begin:
            break
        try:
            container.seek(int(target * 1e6), backward=True)
        except MemoryError:
            raise
        except containers.DAMAGE:
            continue
        ends = yield from _last_ends(container, streams, start)
        if picture.index in ends:
            return ends
    try:
        seeking.rewind(container)
    except MemoryError:
        raise
    except containers.DAMAGE:
        return {}
    return (yield from _last_ends(container, streams, start))


def _last_ends(
    container: av.container.InputContainer, streams: Sequence[Stream], start: float
) -> Generator[Item, None, _Ends]:
    last: dict[int, deque[float]] = {stream.index: deque(maxlen=_LAST_PACKETS) for stream in streams}
    flags: set[str] = set()
    for number, packet in enumerate(frames.packets(container, streams, flags)):
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is not None and not packet.is_discard:
            end = (stamp + (packet.duration or 0)) * packet.time_base
            last[packet.stream_index].append(float(end) - start)
        if number % _SIGN_OF_LIFE_PACKETS == 0:
            yield SIGN_OF_LIFE
    return {index: max(ends) for index, ends in last.items() if ends}


def _picture_start(stream: VideoStream, otherwise: float) -> float:
    if stream.start_time is None or not stream.time_base:
        return otherwise
    return float(stream.start_time * stream.time_base)
