"""The frames of a video in order of time, as far as they can be had: damage costs what is damaged, and no more."""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple, cast

import av.container
import av.filter
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from clipscout.transforms.core.video import colours, containers
from clipscout.transforms.core.video.skipping import LeftOut, Skipping
from clipscout.transforms.core.video.timeline import Timeline

#: Decoded frames held back so that times can be put in order: containers such as AVI store none, and FFmpeg's guesses
#: for their B-frames are permuted (1, 4, 3, 5, ...) while the pictures come in the right order.
_REORDER_FRAMES = 16
_REORDER_BYTES = 64 << 20
#: A container that fails so often without a packet in between has no more.
_TRIES = 10


@dataclass
class Report:
    """What is known of a decoding so far.

    Attributes:
      frames_decoded: Frames that were gone through, with those that nothing needed and that were not decoded.
      decoded_seconds: When the last of them ends, from the start of the stream.
      lost_seconds: How long the pictures lasted that could not be decoded.
      flags: E.g. `damaged`, `time_jumps`.
      cpu_msec: Processor time.
      reached_end: Whether the end of the file was reached.
      shot_boundaries: Times of the first frames of new shots, in seconds.
      repeated_until: When the latest repetition of a picture ends, in ticks of the stream.
    """

    frames_decoded: int = 0
    decoded_seconds: float = 0.0
    lost_seconds: float = 0.0
    flags: set[str] = field(default_factory=set)
    cpu_msec: int = 0
    reached_end: bool = False
    shot_boundaries: list[float] = field(default_factory=list)
    repeated_until: int | None = None

    def fields(self) -> dict[str, Any]:
        """Returns the report as JSON-able fields."""
        return {
            "frames_decoded": self.frames_decoded,
            "decoded_seconds": self.decoded_seconds,
            "lost_seconds": round(self.lost_seconds, 3),
            "flags": sorted(self.flags),
            "cpu_msec": self.cpu_msec,
            "reached_end": self.reached_end,
            "shot_boundaries": self.shot_boundaries,
        }


class Picture(NamedTuple):
    """A decoded frame, and width over height of its samples."""

    frame: VideoFrame
    aspect: float


class Timed(NamedTuple):
    """A picture with its presentation time in seconds from the start of the stream."""

    frame: VideoFrame
    aspect: float
    seconds: float


class Passed(NamedTuple):
    """A frame that was not decoded, with its presentation time in seconds from the start of the stream."""

    seconds: float


def packets(container: av.container.InputContainer, streams: Sequence[Stream], flags: set[str]) -> Iterator[Packet]:
    """Yields the packets of some streams from where the container stands, on one timeline.

    An empty packet is no damage: Ogg Theora writes one for each repeated picture, which the picture before stands for.
    After damage the container is asked again, some times.

    Args:
      container: The opened file.
      streams: Those that are read.
      flags: Gets `damaged`, `times_repaired` and `time_jumps`.
    """
    return Timeline(container, streams, flags).mended(_read(container, streams, flags))


def _read(container: av.container.InputContainer, streams: Sequence[Stream], flags: set[str]) -> Iterator[Packet]:
    tries = 0
    while True:
        try:
            for packet in container.demux(*streams):
                if packet.size or packet.pts is not None:
                    tries = 0
                    yield packet
            return
        except MemoryError:
            raise
        except containers.DAMAGE:
            flags.add("damaged")
            tries += 1
            if tries == _TRIES:
                return


def ordered_frames(
    container: av.container.InputContainer,
    stream: VideoStream,
    report: Report,
    max_frames: int | None = None,
    first_stamp: int | None = None,
) -> Iterator[Timed]:
    """Yields the frames of a stream with strictly ascending times.

    What cannot be decoded is left out, with the flag `damaged` and the seconds that are lost; frames without timestamps
    get times from the stream's rate and the flag `no_timestamps`. `report` is kept up to date on the way. Frames before
    the timestamp `first_stamp` are left out: after a seek to it they lack what they depend on.
    """
    frames = needed_frames(container, stream, report, None, max_frames, first_stamp)
    return (frame for frame in frames if isinstance(frame, Timed))


def needed_frames(
    container: av.container.InputContainer,
    stream: VideoStream,
    report: Report,
    skipping: Skipping | None,
    max_frames: int | None = None,
    first_stamp: int | None = None,
) -> Iterator[Timed | Passed]:
    """Yields the frames of a stream like `ordered_frames`, of those that are not needed the times alone."""
    rate = stream.average_rate or stream.guessed_rate or 25
    base = float(stream.time_base or 1 / 90_000)
    ticks_per_frame = max(1, round(1 / (float(rate) * base)))
    start = stream.start_time
    held: deque[Picture | LeftOut] = deque()
    stamps: list[int] = []
    last: float | None = None
    depth = _REORDER_FRAMES

    def release() -> Timed | Passed:
        nonlocal last
        picture = held.popleft()
        seconds = heapq.heappop(stamps) * base
        if last is not None and seconds <= last:
            report.flags.add("times_repaired")
            seconds = last + 1e-3
        duration = picture.duration if isinstance(picture, LeftOut) else picture.frame.duration
        lasts = duration * base if duration else None
        if lasts is None:  # as long as the one before
            lasts = ticks_per_frame * base if last is None else seconds - last
        last = seconds
        report.frames_decoded += 1
        report.decoded_seconds = seconds + lasts
        return Passed(seconds) if isinstance(picture, LeftOut) else Timed(*picture, seconds)

    stamp = -ticks_per_frame
    for picture in _decoded_or_not(container, stream, report, skipping):
        pts = picture.stamp if isinstance(picture, LeftOut) else picture.frame.pts
        if first_stamp is not None and pts is not None and pts < first_stamp:
            continue
        if pts is None:
            report.flags.add("no_timestamps")
            stamp += ticks_per_frame
        else:
            if start is None:
                start = pts
            stamp = pts - start
        held.append(picture)
        heapq.heappush(stamps, stamp)
        if isinstance(picture, Picture):
            depth = _reorder_depth(picture.frame)
        if len(held) > depth:
            yield release()
        if max_frames is not None and report.frames_decoded + len(held) >= max_frames:
            report.flags.add("frame_cap")
            break
    while held:
        yield release()
    if report.repeated_until is not None and last is not None:  # the last picture stays
        report.decoded_seconds = max(report.decoded_seconds, (report.repeated_until - (start or 0)) * base)


def decoded(container: av.container.InputContainer, stream: VideoStream, report: Report) -> Iterator[Picture]:
    """Yields the frames of a stream as the decoder gives them, without those that it cannot decode.

    They are cropped as the container asks for it, and have a colour matrix that the scaler knows.
    """
    pictures = _decoded_or_not(container, stream, report, None)
    return (picture for picture in pictures if isinstance(picture, Picture))


def _decoded_or_not(
    container: av.container.InputContainer, stream: VideoStream, report: Report, skipping: Skipping | None
) -> Iterator[Picture | LeftOut]:
    aspects, crop = _Aspects(stream), Crop.of(container, stream)
    damages = 0
    read = packets(container, containers.programme(container, stream), report.flags)
    if skipping is not None:
        read = skipping.watched(read)
    for packet in itertools.chain(read, [None]):
        if packet is not None and packet.stream_index != stream.index:
            continue
        if packet is not None and not packet.size:
            report.repeated_until = (packet.pts or 0) + (packet.duration or 0)
            continue
        try:
            frames = stream.codec_context.decode(packet)
        except MemoryError:
            raise
        except containers.DAMAGE:
            if skipping is not None and skipping.begins_again():
                continue
            damages += 1
            if damages & (damages - 1) == 0:  # for a file that is all damage the look is dear
                containers.check_memory(stream)
            report.flags.add("damaged")
            if packet is not None and packet.duration and packet.time_base:
                report.lost_seconds += float(packet.duration * packet.time_base)
            continue
        if packet is not None and packet.is_keyframe:
            aspects.note(packet)
        for frame in frames if skipping is None else itertools.chain.from_iterable(map(skipping.came_out, frames)):
            if isinstance(frame, LeftOut):
                yield frame
            elif frame.width and frame.height:
                yield Picture(shown(frame, crop, report.flags), aspects.at(frame.pts))
    if skipping is not None:
        yield from skipping.rest()


def shown(frame: VideoFrame, crop: "Crop | None", flags: set[str]) -> VideoFrame:
    """Returns a decoded frame as it is shown: cropped, in colours that the scaler knows."""
    if colours.mend(frame):
        flags.add("colours_guessed")
    return crop.cropped(frame) if crop else frame


class _Aspects:
    """The shape of samples: what the container says, or else the decoder, which may change its mind at a key frame."""

    def __init__(self, stream: VideoStream) -> None:
        self._context = stream.codec_context
        self._last = self._context.sample_aspect_ratio
        aspect = stream.sample_aspect_ratio
        self._follows = not aspect or aspect == self._last
        #: Presentation time from which on it holds, and the shape.
        self._changes: list[tuple[float, float]] = [(-math.inf, containers.sample_aspect(aspect))]

    def note(self, packet: Packet) -> None:
        """Looks whether a key frame has changed it."""
        ratio = self._context.sample_aspect_ratio
        if ratio == self._last or not self._follows:
            return
        if self._last or ratio:
            stamp = -math.inf if packet.pts is None or not self._last else packet.pts
            self._changes.append((stamp, containers.sample_aspect(ratio)))
        self._last = ratio

    def at(self, stamp: int | None) -> float:
        """Returns width over height of a sample of the frame with a presentation time."""
        if stamp is None or len(self._changes) == 1:
            return self._changes[-1][1]
        return next(aspect for since, aspect in reversed(self._changes) if stamp >= since)


class Crop:
    """Cuts off what a container wants to be cut off."""

    def __init__(self, stream: VideoStream, sides: tuple[int, int, int, int]) -> None:
        self._base, self._sides = stream.time_base or Fraction(1, 90_000), sides
        self._kind: tuple[str, int, int] | None = None

    @classmethod
    def of(cls, container: av.container.InputContainer, stream: VideoStream) -> "Crop | None":
        """Returns None where there is nothing to cut off."""
        sides = containers.cropping(container, stream)
        return None if sides is None else cls(stream, sides)

    def cropped(self, frame: VideoFrame) -> VideoFrame:
        """Returns a frame without its edges; as it is where it became too small for that."""
        left, right, top, bottom = self._sides
        width, height = frame.width - left - right, frame.height - top - bottom
        if width <= 0 or height <= 0:
            return frame
        kind = frame.format.name, frame.width, frame.height
        if kind != self._kind:
            self._kind, self._graph = kind, self._made(frame, f"{width}:{height}:{left}:{top}:exact=1")
        self._graph.push(frame)
        return cast(VideoFrame, self._graph.pull())

    def _made(self, frame: VideoFrame, crop: str) -> av.filter.Graph:
        graph = av.filter.Graph()
        width, height = frame.width, frame.height
        source = graph.add_buffer(width=width, height=height, format=frame.format, time_base=self._base)
        graph.link_nodes(source, graph.add("crop", crop), graph.add("buffersink")).configure()
        return graph


def _reorder_depth(frame: VideoFrame) -> int:
    frame_bytes = max(1, frame.width * frame.height * 3 // 2)
    return max(4, min(_REORDER_FRAMES, _REORDER_BYTES // frame_bytes))
