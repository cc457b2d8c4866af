"""The picture of a clip: scaled, upright, with square pixels, encoded as H.264 that plays everywhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av.container
import av.filter
from av.packet import Packet
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from av.video.stream import VideoStream

from transforms.core import geometry, media

TICKS_PER_SECOND = 90_000
_ENCODER = {"preset": "veryfast", "crf": "20", "a53cc": "0"}
#: A clip's bytes depend on the number of threads, so it is that of no machine.
_THREADS = 4
_SMALL_PIXELS = 320 * 240
_TRANSPOSE = {0: [], 1: ["transpose=cclock"], 2: ["hflip", "vflip"], 3: ["transpose=clock"]}


@dataclass(frozen=True)
class Shape:
    """How decoded pictures become those of a clip.

    Attributes:
      width, height: Size in pixels to which they are scaled, before they are turned; even.
      turns: Counter-clockwise quarter turns.
      mirrored: Whether they are mirrored left to right before they are turned.
    """

    width: int
    height: int
    turns: int = 0
    mirrored: bool = False

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height of the clip."""
        return (self.height, self.width) if self.turns % 2 else (self.width, self.height)


def shape_of(frame: VideoFrame, stream: VideoStream, height: int | None = None) -> Shape:
    """Returns the shape of a clip that begins with a frame.

    Args:
      frame: The decoded frame.
      stream: What it was decoded from.
      height: Largest height of the clip in pixels. A picture that is less high is not enlarged.
    """
    turns, mirrored = media.orientation(frame)
    size = geometry.displayed_size(frame.width, frame.height, media.sample_aspect(stream), turns)
    if height is not None and height < size[1]:
        size = round(size[0] * height / size[1] / 2) * 2, height
    wide, high = (max(2, side - side % 2) for side in size)
    return Shape(*((high, wide) if turns % 2 else (wide, high)), turns, mirrored)


class Fitter:
    """Brings decoded frames into a shape; one that several clips share is fitted once."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._scaler = VideoReformatter()
        filters = ["hflip"] * shape.mirrored + _TRANSPOSE[shape.turns]
        self._turn = self._turning_graph(filters) if filters else None
        self._last: tuple[VideoFrame, VideoFrame] | None = None

    def fit(self, frame: VideoFrame) -> VideoFrame:
        """Returns the frame as yuv420p in the limited range; it may be the given one itself."""
        if self._last is None or self._last[0] is not frame:
            self._last = frame, self._fitted(frame)
        return self._last[1]

    def _fitted(self, frame: VideoFrame) -> VideoFrame:
        size = self._shape.width, self._shape.height
        is_scaled = size != (frame.width, frame.height)
        fitted = self._scaler.reformat(
            frame,
            width=size[0],
            height=size[1],
            format="yuv420p",
            interpolation=Interpolation.BICUBIC if is_scaled else None,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        if self._turn is not None:
            fitted.pts, fitted.time_base = 0, Fraction(1, TICKS_PER_SECOND)
            self._turn.push(fitted)
            fitted = cast(VideoFrame, self._turn.pull())
        return fitted

    def _turning_graph(self, filters: list[str]) -> av.filter.Graph:
        graph = av.filter.Graph()
        width, height = self._shape.width, self._shape.height
        picture_format = VideoFormat("yuv420p", width, height)
        base = Fraction(1, TICKS_PER_SECOND)
        nodes = [graph.add_buffer(width=width, height=height, format=picture_format, time_base=base)]
        nodes += [graph.add(*(part.split("=") if "=" in part else (part,))) for part in filters]
        graph.link_nodes(*nodes, graph.add("buffersink")).configure()
        return graph


class PictureEncoder:
    """Encodes fitted frames for an output; the packets come back, to be written in order with the sound."""

    def __init__(self, output: av.container.OutputContainer, source: VideoStream, shape: Shape) -> None:
        width, height = shape.shown_size
        rate = source.average_rate or source.guessed_rate or 25
        self._stream = output.add_stream("libx264", rate=rate, options=_ENCODER)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        context = self._stream.codec_context
        context.time_base = Fraction(1, TICKS_PER_SECOND)
        context.thread_count = _THREADS if width * height > _SMALL_PIXELS else 1
        context.thread_type = "FRAME"  # slices, the default here, make a picture worse
        for name in ("colorspace", "color_primaries", "color_trc"):
            setattr(context, name, getattr(source.codec_context, name))
        context.color_range = ColorRange.MPEG
        self._durations: dict[int, int] = {}
        self._first_dts: int | None = None
        self._held: Packet | None = None
        self._end = 0

    def encode(self, fitted: VideoFrame, seconds: float, until_seconds: float) -> Iterator[Packet]:
        """Encodes a frame that is shown between two times in seconds from the clip's start."""
        fitted.pict_type = 0
        fitted.pts, self._end = round(seconds * TICKS_PER_SECOND), round(until_seconds * TICKS_PER_SECOND)
        fitted.time_base = Fraction(1, TICKS_PER_SECOND)
        self._durations[fitted.pts] = self._end - fitted.pts
        yield from self._timed(self._stream.encode(fitted))

    def finish(self) -> Iterator[Packet]:
        """Returns what the encoder still holds."""
        yield from self._timed(self._stream.encode(None))
        last, first = self._held, self._first_dts
        if last is None or last.pts is None or last.dts is None or first is None:
            return
        # a track lasts as long as its decoding times do: where frames differ in duration, the last packet makes it good
        last.dts = max(last.dts, last.pts + first)
        last.duration = max(last.duration or 0, self._end + first - last.dts)
        yield last

    def _timed(self, packets: list[Packet]) -> Iterator[Packet]:
        """Gives packets their durations, which the encoder forgets, and holds the latest one back."""
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts or 0, 0)
            if self._first_dts is None:
                self._first_dts = packet.dts
            if self._held is not None:
                yield self._held
            self._held = packet
