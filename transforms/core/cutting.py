"""Cutting spans into clips: re-encoded, so that first and last frame are right, as H.264/AAC mp4 that plays at once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import av
import av.container
import av.error
import av.filter
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter
from av.video.stream import VideoStream

from transforms.core import decode, geometry, media
from transforms.core.tasks import Item, TaskError

_VIDEO_TICKS_PER_SECOND = 90_000
_AUDIO_RATE = 48_000
_ENCODER = {"preset": "veryfast", "crf": "20"}
#: A frame belongs to a span when its time is in [start, end); times are compared with this much room for rounding.
_EPSILON_SECONDS = 5e-4
_SIGN_OF_LIFE_FRAMES = 100
_TRANSPOSE = {0: [], 1: ["transpose=cclock"], 2: ["hflip", "vflip"], 3: ["transpose=clock"]}


class _AudioError(Exception):
    """The sound cannot be decoded; the clip is cut without it."""


def cut(request: dict[str, Any]) -> Iterator[Item]:
    """Child task: cuts spans out of one video and yields the probed facts of each clip, or why there is none.

    Args:
      request: `path`, and `spans`: a list of `{"start_seconds", "end_seconds", "path"}`.

    Yields:
      For each span in order `{"index", "duration_seconds", "frames", "width", "height", "has_audio", "flags"}`, or
      `{"index", "code", "message"}`; now and then `{}` as a sign of life.
    """
    for index, span in enumerate(request["spans"]):
        arguments = request["path"], span["path"], span["start_seconds"], span["end_seconds"]
        flags = []
        try:
            try:
                yield from _cut_one(*arguments, with_audio=True)
            except _AudioError:
                flags.append("audio_dropped")
                yield from _cut_one(*arguments, with_audio=False)
            yield {"index": index, **describe(span["path"]), "flags": flags}, None
        except TaskError as error:
            yield {"index": index, "code": error.code, "message": str(error)}, None
        except MemoryError:
            raise
        except media.DAMAGE as error:
            yield {"index": index, "code": "cut_failed", "message": media.reason(error)}, None


def describe(path: str) -> dict[str, Any]:
    """Returns the facts of a written clip, from reading it back."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.pts is not None]
        starts = [packet.pts or 0 for packet in packets]
        ends = [start + (packet.duration or 0) for start, packet in zip(starts, packets, strict=True)]
        return {
            # the track's own duration counts decoding times, and is short where the rate varies
            "duration_seconds": float((max(ends) - min(starts)) * (stream.time_base or 0)),
            "frames": len(packets),
            "width": stream.width,
            "height": stream.height,
            "has_audio": bool(container.streams.audio),
        }


def _cut_one(source: str, target: str, start: float, end: float, with_audio: bool) -> Iterator[Item]:
    """Cuts one span; yields signs of life."""
    with media.opened(source) as container:
        stream = media.video_stream(container)
        frames = _frames_between(container, stream, start, end)
        first = None
        for number, (frame, time_seconds) in enumerate(frames):
            if frame is not None:
                first = frame, time_seconds
                break
            if number % _SIGN_OF_LIFE_FRAMES == 0:
                yield {}, None
        if first is None:
            media.check_memory(stream)
            raise TaskError("cut_failed", f"no frame between {start:.3f} s and {end:.3f} s")
        with av.open(target, "w", format="mp4", options={"movflags": "+faststart"}) as output:
            picture = _PictureWriter(output, stream, first[0])
            audio = container.streams.best("audio") if with_audio else None
            if isinstance(audio, AudioStream) and audio.codec_context is None:  # a codec that FFmpeg does not know
                raise _AudioError
            sound = _SoundWriter(output, source, audio) if isinstance(audio, AudioStream) else None
            zero, last = first[1], first
            picture.write(first[0], 0.0)
            for number, (frame, time_seconds) in enumerate(frames):
                if frame is not None:
                    last = frame, time_seconds
                    picture.write(frame, time_seconds - zero)
                if number % _SIGN_OF_LIFE_FRAMES == 0:
                    yield {}, None
            picture.finish()
            if sound is not None:
                origin = float((stream.start_time or 0) * (stream.time_base or 0))
                sound.copy(origin + zero, min(end, last[1] + _frame_seconds(last[0], stream)) - zero)


def _frame_seconds(frame: VideoFrame, stream: VideoStream) -> float:
    if frame.duration and stream.time_base:
        return float(frame.duration * stream.time_base)
    rate = stream.average_rate or stream.guessed_rate or 25
    return 1 / float(rate)


def _frames_between(
    container: av.container.InputContainer, stream: VideoStream, start: float, end: float
) -> Iterator[tuple[VideoFrame | None, float]]:
    """Yields the frames of [start, end), after a seek where the container's times allow one; None for skipped ones."""
    frames = decode.ordered_frames(container, stream, decode.Report())
    if _can_seek(container, stream) and start > 0:
        target = int(start / float(stream.time_base or 1)) + (stream.start_time or 0)
        try:
            container.seek(target, stream=stream, backward=True)
            first = next(frames, None)
        except media.DAMAGE:
            first = None
        if first is not None and first[1] <= start + _EPSILON_SECONDS:
            if first[1] >= start - _EPSILON_SECONDS:
                yield first
        else:  # the index points behind the span, or nowhere: read from the beginning
            container.seek(0, backward=True)  # with no stream named: MPEG-TS then really begins at its first frame
            frames = decode.ordered_frames(container, stream, decode.Report())
    for frame, time_seconds in frames:
        if time_seconds >= end - _EPSILON_SECONDS:
            return
        yield (frame if time_seconds >= start - _EPSILON_SECONDS else None), time_seconds


def _can_seek(container: av.container.InputContainer, stream: VideoStream) -> bool:
    """Times after a seek are those of the scoring only where the container stores presentation times."""
    return container.format.name not in ("avi", "mpeg", "gif", "asf") and stream.start_time is not None


@dataclass
class _PictureWriter:
    output: av.container.OutputContainer
    source: VideoStream
    example: VideoFrame

    def __post_init__(self) -> None:
        turns, mirrored = media.orientation(self.example)
        aspect = media.sample_aspect(self.source)
        size = geometry.displayed_size(self.example.width, self.example.height, aspect, turns)
        width, height = (max(2, side - side % 2) for side in size)
        rate = self.source.average_rate or self.source.guessed_rate or 25
        self._stream = self.output.add_stream("libx264", rate=rate, options=_ENCODER)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        self._stream.codec_context.time_base = media.Fraction(1, _VIDEO_TICKS_PER_SECOND)
        self._stream.codec_context.thread_count = 1
        self._scaled = (height, width) if turns % 2 else (width, height)
        self._scaler = VideoReformatter()
        for name in ("colorspace", "color_primaries", "color_trc"):
            setattr(self._stream.codec_context, name, getattr(self.source.codec_context, name))
        self._stream.codec_context.color_range = ColorRange.MPEG
        filters = ["hflip"] * mirrored + _TRANSPOSE[turns]
        self._turn = self._turning_graph(filters) if filters else None

    def _turning_graph(self, filters: list[str]) -> av.filter.Graph:
        graph = av.filter.Graph()
        width, height = self._scaled
        nodes = [
            graph.add_buffer(
                width=width,
                height=height,
                format=VideoFormat("yuv420p", width, height),
                time_base=media.Fraction(1, 90_000),
            )
        ]
        nodes += [graph.add(*(part.split("=") if "=" in part else (part,))) for part in filters]
        graph.link_nodes(*nodes, graph.add("buffersink")).configure()
        return graph

    def write(self, frame: VideoFrame, time_seconds: float) -> None:
        """Encodes one frame at a time in seconds from the clip's start."""
        width, height = self._scaled
        scaled = self._scaler.reformat(
            frame, width=width, height=height, format="yuv420p", dst_color_range=ColorRange.MPEG, threads=1
        )
        if scaled is frame:  # untouched: still the decoder's own, with its type and times
            scaled = VideoFrame.from_ndarray(frame.to_ndarray(), format="yuv420p")
        scaled.pict_type = 0
        scaled.pts = round(time_seconds * _VIDEO_TICKS_PER_SECOND)
        scaled.time_base = media.Fraction(1, _VIDEO_TICKS_PER_SECOND)
        scaled.duration = round(_frame_seconds(frame, self.source) * _VIDEO_TICKS_PER_SECOND)
        if self._turn is not None:
            self._turn.push(scaled)
            scaled = cast(VideoFrame, self._turn.pull())
        self.output.mux(self._stream.encode(scaled))

    def finish(self) -> None:
        """Writes what the encoder still holds."""
        self.output.mux(self._stream.encode(None))


class _SoundWriter:
    def __init__(self, output: av.container.OutputContainer, path: str, stream: AudioStream) -> None:
        self._output, self._path, self._index = output, path, stream.index
        self._layout = "mono" if stream.codec_context.channels == 1 else "stereo"
        self._stream = output.add_stream("aac", rate=_AUDIO_RATE, layout=self._layout)

    def copy(self, start: float, seconds: float) -> None:
        """Encodes the sound of [start, start + seconds), absolute container time; gaps become silence.

        Raises:
          _AudioError: Nothing of it can be decoded.
        """
        total, written = round(seconds * _AUDIO_RATE), 0
        for offset, samples in self._decoded(start):
            samples = samples[:, max(0, written - offset) :]
            offset = max(offset, written)
            if offset >= total:
                break
            silence = np.zeros((samples.shape[0], offset - written), np.float32)
            block = np.concatenate([silence, samples[:, : total - offset]], axis=1)
            self._write(block, written)
            written += block.shape[1]
        if not written:
            raise _AudioError
        self._output.mux(self._stream.encode(None))

    def _write(self, block: np.ndarray, position: int) -> None:
        if block.shape[1]:
            frame = AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=self._layout)
            frame.sample_rate, frame.pts = _AUDIO_RATE, position
            frame.time_base = media.Fraction(1, _AUDIO_RATE)
            self._output.mux(self._stream.encode(frame))

    def _decoded(self, start: float) -> Iterator[tuple[int, np.ndarray]]:
        """Yields sample offsets from `start` with float32[channels, n]; stops at damage."""
        resampler = AudioResampler(format="fltp", layout=self._layout, rate=_AUDIO_RATE)
        with media.opened(self._path) as container:
            stream = container.streams[self._index]
            try:
                if start > 1:
                    container.seek(int((start - 1) * 1_000_000), backward=True)
                for frame in _sound_frames(container, stream):
                    for piece in resampler.resample(frame):
                        if piece.pts is None or piece.time_base is None:
                            return
                        offset = round((float(piece.pts * piece.time_base) - start) * _AUDIO_RATE)
                        samples = piece.to_ndarray()
                        if offset + samples.shape[1] > 0:
                            yield max(offset, 0), samples[:, max(0, -offset) :]
            except MemoryError:
                raise
            except media.DAMAGE:
                return


def _sound_frames(container: av.container.InputContainer, stream: Any) -> Iterator[AudioFrame]:
    """Yields the frames of a stream; a packet that cannot be decoded (the first after a seek, often) is left out."""
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue
