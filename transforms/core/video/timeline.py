"""One timeline per file: timestamps that go on where a file's clock jumps, made once for picture and sound together.

Recordings that were joined start again or far ahead, a 33-bit clock wraps, a broken stamp lies an hour in the future.
What is mended here is mended for everyone who reads the file: scoring, cutting and sound.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import av.container
from av.packet import Packet
from av.stream import Stream

from clipscout.transforms.core.video import containers

#: A stamp that comes back within so many packets was an outlier, and no jump. No codec stores a picture more than 16
#: pictures before its turn.
_AHEAD_PACKETS = 17
#: ffmpeg's `dts_delta_threshold`: in containers whose clock may jump, a longer gap is a jump.
_FORWARD_SECONDS = 10.0
#: Decoding times ascend; a little of disorder is left to those who put frames in order.
_BACKWARD_SECONDS = 0.5
#: So near to where it should be a stream counts as back on its line.
_RETURN_SECONDS = 2.0
_LATER_END_SECONDS = 1.0


class _Clock:
    """The timestamps of one stream, in seconds."""

    def __init__(self, stream: Stream) -> None:
        self.base = float(stream.time_base or 1)
        self.window: deque[Packet] = deque()
        self.offset = 0.0
        self.length = 0.0
        #: When the packet before was to be decoded and shown, as it said or as it was put right.
        self.due_before: float | None = None
        self.shown_before: float | None = None

    def due(self, packet: Packet) -> float | None:
        """Returns when a packet is to be decoded, as it says."""
        return None if packet.dts is None else packet.dts * self.base

    def shown(self, packet: Packet) -> float | None:
        """Returns when a packet is shown, as it says."""
        return None if packet.pts is None else packet.pts * self.base

    def gaps(self, due: float | None, shown: float | None) -> tuple[float, float]:
        """Returns how far times of decoding and showing lie behind those before; 0 where one is missing."""
        return (
            0.0 if due is None or self.due_before is None else due - self.due_before,
            0.0 if shown is None or self.shown_before is None else shown - self.shown_before,
        )

    @property
    def end(self) -> float | None:
        """When the next packet is due on the mended timeline."""
        return None if self.due_before is None else self.due_before + self.offset + self.length


class Timeline:
    """Makes the stamps of a file's packets one timeline, in the way of ffmpeg's `ts_discontinuity_process`.

    A stamp that leaves its neighbours and comes back is an outlier: it is put where it was due. A clock that goes back,
    or in containers whose clock may jump (MPEG-TS) far ahead, jumps: from there on the same offset is added to picture
    and sound, so that they stay together and go on where they were.

    Args:
      container: The opened file.
      streams: Those that are read.
      flags: Gets `times_repaired` for outliers and `time_jumps` for jumps.
    """

    def __init__(self, container: av.container.InputContainer, streams: Sequence[Stream], flags: set[str]) -> None:
        self._flags = flags
        self._may_jump = containers.clock_may_jump(container)
        self._clocks = {stream.index: _Clock(stream) for stream in streams}
        #: Seconds that were added since each jump, in order.
        self._offsets = [0.0]

    def mended(self, packets: Iterable[Packet]) -> Iterator[Packet]:
        """Yields packets in their order within each stream, with mended stamps."""
        for packet in packets:
            clock = self._clocks[packet.stream_index]
            clock.window.append(packet)
            if len(clock.window) > _AHEAD_PACKETS:
                yield self._mended(clock, clock.window.popleft())
        for clock in self._clocks.values():
            while clock.window:
                yield self._mended(clock, clock.window.popleft())

    def _mended(self, clock: _Clock, packet: Packet) -> Packet:
        due, shown = clock.due(packet), clock.shown(packet)
        if self._leaves(clock, due, shown):
            if self._is_outlier(clock, due, shown):
                self._put(clock, packet)
                due, shown = clock.due(packet), clock.shown(packet)
            elif due is not None and clock.due_before is not None and self._is_jump(due - clock.due_before):
                clock.offset = self._offset(clock, due)
                self._flags.add("time_jumps")
        self._note(clock, packet, due, shown)
        if clock.offset:
            ticks = round(clock.offset / clock.base)
            packet.dts = None if packet.dts is None else packet.dts + ticks
            packet.pts = None if packet.pts is None else packet.pts + ticks
        return packet

    def _leaves(self, clock: _Clock, due: float | None, shown: float | None) -> bool:
        gone_on, moved = clock.gaps(due, shown)
        return not -_BACKWARD_SECONDS <= gone_on <= _FORWARD_SECONDS or abs(moved) > _FORWARD_SECONDS

    def _is_outlier(self, clock: _Clock, due: float | None, shown: float | None) -> bool:
        """Tells whether one of the next packets goes on where the stream was, and most do not go on from this one.

        A picture that stays for long is none, although some that are shown before it are stored after it.
        """
        gone_on, moved = clock.gaps(due, shown)
        is_due = -_BACKWARD_SECONDS <= gone_on <= _FORWARD_SECONDS
        times = [(clock.due(packet), clock.shown(packet)) for packet in clock.window]
        if is_due and moved < 0:  # what was stored after a picture that is shown later, unless it comes too late
            return due is not None and shown is not None and shown < due - _BACKWARD_SECONDS
        if is_due and len(times) < _AHEAD_PACKETS:  # what follows the last picture is shown before it
            return False
        if gone_on >= 0:
            own = shown if is_due else due
            nexts = [later[is_due] for later in times]
            if sum(own is not None and time is not None and time < own for time in nexts) * 2 <= len(nexts):
                return False
        room = _RETURN_SECONDS + 4 * clock.length
        gaps = (clock.gaps(*later) for later in times)
        return any(-_BACKWARD_SECONDS <= gone_on <= room and abs(moved) <= room for gone_on, moved in gaps)

    def _is_jump(self, gap: float) -> bool:
        return gap < -_BACKWARD_SECONDS or (self._may_jump and gap > _FORWARD_SECONDS)

    def _put(self, clock: _Clock, packet: Packet) -> None:
        """Puts an outlier where it was due, after the packet before it."""
        self._flags.add("times_repaired")
        if packet.dts is not None and clock.due_before is not None:
            packet.dts = round((clock.due_before + clock.length) / clock.base)
        if packet.pts is not None and clock.shown_before is not None:
            packet.pts = round((clock.shown_before + clock.length) / clock.base)

    def _offset(self, clock: _Clock, due: float) -> float:
        """Returns what to add after a jump: what another stream found for the same jump, or a new offset."""
        end = clock.end or 0.0
        for offset in reversed(self._offsets):
            if -_BACKWARD_SECONDS <= due + offset - end <= _FORWARD_SECONDS:
                return offset
        latest = max(other.end for other in self._clocks.values() if other.end is not None)
        self._offsets.append((latest if latest > end + _LATER_END_SECONDS else end) - due)
        return self._offsets[-1]

    def _note(self, clock: _Clock, packet: Packet, due: float | None, shown: float | None) -> None:
        if packet.duration:
            clock.length = packet.duration * clock.base
        elif due is not None and clock.due_before is not None and due > clock.due_before:
            clock.length = min(due - clock.due_before, _RETURN_SECONDS)
        clock.due_before = clock.due_before if due is None else due
        clock.shown_before = clock.shown_before if shown is None else shown
