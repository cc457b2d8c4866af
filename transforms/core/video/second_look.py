"""Packets that are kept for a while, so that frames which were left out can be decoded after all."""

from collections import deque
from collections.abc import Iterable, Iterator

from av.codec.context import CodecContext
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

#: Compressed pictures of a minute or more, as videos of the web are.
_MOST_BYTES = 32 << 20


class KeptPackets:
    """The latest packets of a stream, from a key frame on.

    Args:
      context: The stream's decoder, for what a second one has to know.
    """

    def __init__(self, context: VideoCodecContext) -> None:
        self._context = context
        self._groups: deque[list[Packet]] = deque()  # each from its key frame on
        self._bytes = 0
        self.frames_again = 0

    @property
    def is_full(self) -> bool:
        """Whether what comes next is not kept."""
        return self._bytes > _MOST_BYTES

    def add(self, packet: Packet, old_stamp: float) -> None:
        """Keeps the next packet; at key frames those are dropped that no frame from `old_stamp` on needs."""
        if packet.is_keyframe and packet.pts is not None:
            self._groups.append([])
            while len(self._groups) > 1 and _start(self._groups[1] or [packet]) <= old_stamp:
                self._bytes -= sum(old.size for old in self._groups.popleft())
        if self._groups and not self.is_full:
            self._groups[-1].append(packet)
            self._bytes += packet.size

    def latest(self) -> list[Packet]:
        """Returns the latest packets, from the key frame before the last on."""
        return _joined(list(self._groups)[-2:])

    def frames_between(self, first_stamp: int, last_stamp: int) -> Iterator[VideoFrame]:
        """Decodes all frames that are shown after one timestamp and before another, in their order."""
        groups = list(self._groups)
        while len(groups) > 1 and groups[1] and _start(groups[1]) <= first_stamp:
            groups.pop(0)
        wanted = [packet.pts for packet in _joined(groups) if packet.pts and first_stamp < packet.pts < last_stamp]
        # where pictures are renewed part by part, what is called a key frame is none for some time
        for packets in (_joined(groups), _joined(self._groups)):
            frames = self._decoded(packets, first_stamp, last_stamp)
            frame = next(frames, None)
            if frame is not None and frame.pts == min(wanted, default=None):
                break
        if frame is not None:
            yield frame
            yield from frames

    def _decoded(self, packets: list[Packet], first_stamp: int, last_stamp: int) -> Iterator[VideoFrame]:
        decoder = CodecContext.create(self._context.name, "r")
        assert isinstance(decoder, VideoCodecContext)
        decoder.extradata, decoder.options = self._context.extradata, self._context.options
        decoder.thread_type, decoder.thread_count = "NONE", 1
        for packet in [*packets, None]:
            is_between = packet is None or packet.pts is None or first_stamp < packet.pts < last_stamp
            decoder.skip_frame = "DEFAULT" if is_between else "NONREF"
            for frame in decoder.decode(packet):
                self.frames_again += 1
                if frame.pts is None or frame.pts <= first_stamp:
                    continue
                if frame.pts >= last_stamp:
                    return
                yield frame


def _joined(groups: Iterable[list[Packet]]) -> list[Packet]:
    return [packet for group in groups for packet in group]


def _start(group: list[Packet]) -> int:
    assert group[0].pts is not None  # it is what a group begins with
    return group[0].pts
