"""Frames that nobody needs are not decoded: no samples, and none that other frames are predicted from.

Which packet holds a sample is known from the presentation times around it. Where they cannot be trusted all is decoded.
"""

import bisect
import heapq
import math
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import av.container
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from clipscout.transforms.core.video import seeking
from clipscout.transforms.core.video.sampling import Sampling
from clipscout.transforms.core.video.second_look import KeptPackets

#: FFmpeg's decoders that, when told so, leave out just the pictures that no other is predicted from.
_CODECS = ("h264", "hevc", "mpeg2video", "mpeg4")
#: A packet of these may hold a field, half of a frame, unless all pictures are progressive.
_OF_FIELDS, _PROGRESSIVE = ("h264", "mpeg2video"), 1
#: Of larger pictures a second decoder would need too much memory.
_MOST_PIXELS = 4096 * 2304
#: No codec stores a picture more than 16 pictures before its turn.
_AHEAD_PACKETS = 17
#: Flags of files whose times or frames are not what their packets say.
_DOUBTS = frozenset(("damaged", "times_repaired", "time_jumps", "no_timestamps"))
#: For so long after a frame was passed it can be looked at.
_KEPT_SECONDS = 5.0
#: So many more frames may be decoded for a second look than were left out.
_CREDIT_FRAMES = 50


class LeftOut(NamedTuple):
    """A frame that was not decoded: its presentation time and duration in ticks of the stream."""

    stamp: int
    duration: int


class Skipping:
    """Leaves out frames while a stream is decoded; the others are those of whole decoding, bit for bit.

    A packet that may be left out is given to the decoder all the same, which drops it if no other picture is predicted
    from it. It may be left out if it is no sample and is shown before a picture that was stored before it, as the
    B-frames are that it is about: so nothing is left out where the times do not have the order of the pictures.

    Args:
      stream: A video stream of which `may_skip` holds.
      sampling: What becomes a sample.
      flags: What is known of the file so far.
      first_index: Index of the first frame; any number where indices do not count.
      first_stamp: Timestamp of that frame; None for the first of all.
    """

    def __init__(
        self,
        stream: VideoStream,
        sampling: Sampling,
        flags: set[str],
        first_index: int = 0,
        first_stamp: int | None = None,
    ) -> None:
        self._context, self._sampling, self._flags = stream.codec_context, sampling, flags
        self._stream_index, self._base = stream.index, float(stream.time_base or 1)
        self._start, self._first_stamp = stream.start_time or 0, -math.inf if first_stamp is None else first_stamp
        self._is_trusted = True
        #: Presentation times of packets that were read, from the last frame on that came out.
        self._stamps: list[int] = []
        self._index, self._last_out = first_index - 1, -math.inf
        self._latest = self._key = -math.inf
        self._keys: set[int | None] = set()  # those of key frames that have not come out
        self._pending: list[LeftOut] = []  # a heap of what the decoder was allowed to leave out
        self._kept, self._left_out = KeptPackets(self._context), 0
        self._kept_ticks, self._skips = _KEPT_SECONDS / self._base, False
        self._once_more: list[Packet] = []
        self._known_until = -math.inf

    def watched(self, packets: Iterable[Packet]) -> Iterator[Packet]:
        """Yields packets in the order of each stream; with each, the decoder is told what to do with it."""
        window: deque[Packet] = deque()
        for packet in packets:
            if packet.stream_index != self._stream_index:
                yield packet
                continue
            self._note(packet)
            window.append(packet)
            if len(window) > _AHEAD_PACKETS:
                yield from self._given(window.popleft())
        while window:
            yield from self._given(window.popleft())

    def begins_again(self) -> bool:
        """Tells, where a packet cannot be decoded, whether it comes once more, after all before it from a key frame on.

        In the place of what is damaged decoders put what they have: so all before it has to be decoded then.
        """
        if not self._is_trusted:
            return False
        self._is_trusted, self._known_until = False, self._last_out
        self._once_more = self._kept.latest()
        self._pending.clear()  # they are decoded then, or lost
        return bool(self._once_more)

    def came_out(self, frame: VideoFrame) -> Iterator[LeftOut | VideoFrame]:
        """Yields what was left out and is shown before a frame of the decoder, and the frame, unless it was known."""
        if frame.interlaced_frame or (frame.pts in self._keys and frame.pict_type != PictureType.I):
            self._is_trusted = False  # of fields, or renewed part by part, so that no second look can begin there
        self._keys.discard(frame.pts)
        if frame.pts is None or frame.pts <= self._last_out:
            self._is_trusted = False
        else:
            yield from self._passed(frame.pts)
            self._count(frame.pts)
        if frame.pts is None or frame.pts > self._known_until:
            yield frame

    def rest(self) -> Iterator[LeftOut]:
        """Yields what was left out and is shown after the last frame that came out."""
        yield from self._passed(math.inf)

    def frames_between(self, first_seconds: float, last_seconds: float) -> Iterator[tuple[VideoFrame, float]]:
        """Decodes all frames between two; yields them with their times in seconds."""
        for frame in self._kept.frames_between(self._stamp(first_seconds), self._stamp(last_seconds)):
            yield frame, ((frame.pts or 0) - self._start) * self._base

    def frame_at(self, seconds: float) -> Iterator[VideoFrame]:
        """Decodes the frame of a time, if it is there."""
        stamp = self._stamp(seconds)
        return self._kept.frames_between(stamp - 1, stamp + 1)

    def _stamp(self, seconds: float) -> int:
        return self._start + round(seconds / self._base)

    def _note(self, packet: Packet) -> None:
        """Takes in the time of a packet that was read."""
        if packet.pts is None or packet.is_corrupt or packet.pts <= self._last_out:
            self._is_trusted = False
        elif self._is_trusted:
            place = bisect.bisect_left(self._stamps, packet.pts)
            self._is_trusted = self._stamps[place : place + 1] != [packet.pts]
            self._stamps.insert(place, packet.pts)

    def _given(self, packet: Packet) -> Iterator[Packet]:
        yield self._prepared(packet)
        if self._once_more:
            self._context.flush_buffers()
            self._context.skip_frame, self._skips = "DEFAULT", False
            yield from self._once_more
            self._once_more = []

    def _prepared(self, packet: Packet) -> Packet:
        """Tells the decoder whether it may leave out what a packet holds."""
        stamp = packet.pts
        may_skip = stamp is not None and self._may_skip(packet, stamp)
        if may_skip != self._skips:
            self._context.skip_frame = "NONREF" if may_skip else "DEFAULT"
            self._skips = may_skip
        if stamp is not None:
            if may_skip:
                heapq.heappush(self._pending, LeftOut(stamp, packet.duration or 0))
            elif packet.is_keyframe:
                self._key = stamp
                self._keys.add(stamp)
            if stamp > self._latest:
                self._latest = stamp
        if self._is_trusted or self._left_out:
            self._kept.add(packet, self._last_out - self._kept_ticks)
        return packet

    def _may_skip(self, packet: Packet, stamp: int) -> bool:
        # pictures between a key frame and those stored before it may not be decodable; before the first frame all are
        if not self._is_trusted or not self._key < stamp < self._latest or not -math.inf < self._last_out < stamp:
            return False
        if self._flags & _DOUBTS or self._kept.is_full:
            self._is_trusted = False
            return False
        if packet.is_discard or self._kept.frames_again > self._left_out + _CREDIT_FRAMES:
            return False
        return not self._is_sample(stamp)

    def _is_sample(self, stamp: int) -> bool:
        place = bisect.bisect_left(self._stamps, stamp)
        before = self._stamps[place - 1] if place else None
        seconds = None if before is None else (before - self._start) * self._base
        return self._sampling.takes_after(seconds, (stamp - self._start) * self._base, self._index + place)

    def _passed(self, stamp: float) -> Iterator[LeftOut]:
        while self._pending and self._pending[0].stamp <= stamp:
            left_out = heapq.heappop(self._pending)
            if left_out.stamp < stamp:
                self._left_out += 1
                self._count(left_out.stamp)
                yield left_out

    def _count(self, stamp: int) -> None:
        self._index += stamp >= self._first_stamp
        self._last_out = stamp
        del self._stamps[: bisect.bisect_left(self._stamps, stamp)]


def may_skip(container: av.container.InputContainer, stream: VideoStream, sampling: Sampling) -> bool:
    """Tells whether frames of a stream can be left out, as far as its header tells."""
    rate = float(stream.average_rate or stream.guessed_rate or 25)
    some_are_none = not sampling.keyframes and (sampling.frame_stride or 2) > 1 and (sampling.fps or 0) < rate
    return some_are_none and _is_known(container, stream)


def _is_known(container: av.container.InputContainer, stream: VideoStream) -> bool:
    """Tells whether the packets of a stream are frames, with the times of those frames."""
    context = stream.codec_context
    if context.name not in _CODECS or not seeking.can_seek(container, stream):
        return False
    if stream.width * stream.height > _MOST_PIXELS:
        return False
    if context.name in _OF_FIELDS and context.field_order != _PROGRESSIVE:
        return False
    return context.name != "hevc" or _has_one_layer(context)


def _has_one_layer(context: VideoCodecContext) -> bool:
    """Tells whether an HEVC stream has one temporal layer: else what its own layer does not need, another one may."""
    record = context.extradata or b""  # HEVCDecoderConfigurationRecord of ISO/IEC 14496-15, version 1
    return len(record) > 21 and record[0] == 1 and record[21] >> 3 & 7 == 1
