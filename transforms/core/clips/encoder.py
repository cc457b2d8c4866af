"""The picture of a clip: scaled, upright, with square pixels, encoded as H.264 that plays everywhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av.container
import av.filter
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation
from av.video.stream import VideoStream

from clipscout.transforms.core.video import colours, containers, geometry
from clipscout.transforms.core.video.colours import Converter, Tags
from clipscout.transforms.core.video.frames import Picture

TICKS_PER_SECOND = 90_000
#: With a thread of its own for looking ahead the encoder decides by what that one has seen yet: bytes would differ.
_ENCODER = {"preset": "veryfast", "crf": "20", "a53cc": "0", "x264-params": "sync-lookahead=0"}
_HDR_ENCODER = {"preset": "veryfast", "crf": "22", "x265-params": "log-level=none:pools=none:frame-threads=1"}
#: Pictures whose shape differs by less fill the clip: sizes are rounded to even numbers.
_SAME_RATIO = 0.02
#: A clip's bytes depend on the number of threads, so it is that of no machine.
_THREADS = 4
_SMALL_PIXELS = 320 * 240
_TRANSPOSE = {0: [], 1: ["transpose=cclock"], 2: ["hflip", "vflip"], 3: ["transpose=clock"]}


@dataclass(frozen=True)
class FrameShape:
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


def shape_of(picture: Picture, height: int | None = None) -> FrameShape:
    """Returns the shape of a clip that begins with a picture.

    Args:
      picture: The decoded frame and the shape of its samples.
      height: Largest height of the clip in pixels. A picture that is less high is not enlarged.
    """
    frame = picture.frame
    turns, mirrored = containers.orientation(frame)
    size = geometry.displayed_size(frame.width, frame.height, picture.aspect, turns)
    if height is not None and height < size[1]:
        size = round(size[0] * height / size[1] / 2) * 2, height
    wide, high = (max(2, side - side % 2) for side in size)
    return FrameShape(*((high, wide) if turns % 2 else (wide, high)), turns, mirrored)


class Fitter:
    """Brings decoded pictures into a shape and colours; one that several clips share is fitted once.

    Args:
      shape: The shape.
      tags: Their colours: those of the clip, which may change in the video.
    """

    def __init__(self, shape: FrameShape, tags: Tags) -> None:
        self._shape = shape
        self._converter = Converter("yuv420p10le" if colours.are_hdr(tags) else "yuv420p", tags)
        #: The last picture, as it came and fitted.
        self._last: tuple[VideoFrame, VideoFrame] | None = None
        self._graphs: dict[tuple[str, int, int], av.filter.Graph] = {}

    def fit(self, picture: Picture) -> VideoFrame:
        """Returns the picture as yuv420p (yuv420p10le for HDR) in the limited range; it may be the given frame itself.

        A picture of another shape than the clip's gets black bars.
        """
        if self._last is None or self._last[0] is not picture.frame:
            self._last = picture.frame, self._fitted(picture)
        return self._last[1]

    def _fitted(self, picture: Picture) -> VideoFrame:
        width, height = self._inner_size(picture)
        is_scaled = (width, height) != (picture.frame.width, picture.frame.height)
        fitted = self._converter.convert(picture.frame, width, height, Interpolation.BICUBIC if is_scaled else None)
        graph = self._graph(fitted)
        if graph is not None:
            fitted.pts, fitted.time_base = 0, Fraction(1, TICKS_PER_SECOND)
            graph.push(fitted)
            fitted = cast(VideoFrame, graph.pull())
        return fitted

    def _inner_size(self, picture: Picture) -> tuple[int, int]:
        """Returns the size of a picture inside the clip, before it is turned: it fills it, or leaves room for bars."""
        shape = self._shape
        ratio = picture.frame.width * picture.aspect / picture.frame.height
        if abs(ratio * shape.height / shape.width - 1) < _SAME_RATIO:
            return shape.width, shape.height
        width = min(shape.width, round(shape.height * ratio / 2) * 2)
        height = min(shape.height, round(shape.width / ratio / 2) * 2)
        return max(2, width), max(2, height)

    def _graph(self, frame: VideoFrame) -> av.filter.Graph | None:
        """Returns what pads and turns converted frames of a size; None where nothing is to be done."""
        shape = self._shape
        filters = [f"pad={shape.width}:{shape.height}:-1:-1"] * (
            (frame.width, frame.height) != (shape.width, shape.height)
        )
        filters += ["hflip"] * shape.mirrored + _TRANSPOSE[shape.turns]
        if not filters:
            return None
        kind = frame.format.name, frame.width, frame.height
        if kind not in self._graphs:
            graph = av.filter.Graph()
            base = Fraction(1, TICKS_PER_SECOND)
            nodes = [graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=base)]
            nodes += [graph.add(*(part.split("=") if "=" in part else (part,))) for part in filters]
            graph.link_nodes(*nodes, graph.add("buffersink")).configure()
            self._graphs[kind] = graph
        return self._graphs[kind]


class FrameEncoder:
    """Encodes fitted frames for an output; the packets come back, to be written in order with the sound.

    Args:
      output: The clip.
      rate: Nominal frames per second.
      shape: The shape of the fitted frames.
      tags: Their colours.
    """

    def __init__(self, output: av.container.OutputContainer, rate: Fraction, shape: FrameShape, tags: Tags) -> None:
        width, height = shape.shown_size
        is_hdr = colours.are_hdr(tags)
        codec, options = ("libx265", _HDR_ENCODER) if is_hdr else ("libx264", _ENCODER)
        self._stream = cast(VideoStream, output.add_stream(codec, rate=rate, options=dict(options)))
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = "yuv420p10le" if is_hdr else "yuv420p"
        context = self._stream.codec_context
        if is_hdr:
            context.codec_tag = "hvc1"  # some players know no other
        context.time_base = Fraction(1, TICKS_PER_SECOND)
        context.thread_count = _THREADS if width * height > _SMALL_PIXELS else 1
        context.thread_type = "FRAME"  # slices, the default here, make a picture worse
        context.colorspace, context.color_primaries, context.color_trc = tags.matrix, tags.primaries, tags.transfer
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
