"""Opening hostile media files with PyAV: allow-listed containers, the file protocol alone, bounded pictures.

The facts behind each guard were found by experiment; ARCHITECTURE.md ("Hostile media") tells them.
"""

import errno
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, cast

import av
import av.container
import av.error
import av.logging
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from transforms.core import geometry
from transforms.core.tasks import Item, TaskError

#: FFmpeg's names of the containers that users bring. No playlist (concat, hls, dash, sdp) and no device is among them.
CONTAINERS = (
    "mov",
    "mp4",
    "m4a",
    "3gp",
    "3g2",
    "mj2",
    "matroska",
    "webm",
    "avi",
    "mpegts",
    "mpeg",
    "flv",
    "ogg",
    "asf",
    "gif",
)
_ATTACHED_PICTURE = 0x0400
_PICTURES_OF_A_DECODER = 20
_LARGE_PIXELS = 640 * 480
MAX_PIXELS = 8192 * 8192
#: What PyAV raises on damaged files (LookupError: streams that appear in the middle of a damaged MPEG-TS). MemoryError
#: has to be caught before: FFmpeg's own is one of its errors too, and means the memory cap.
DAMAGE = (av.error.FFmpegError, ValueError, OSError, LookupError)

# FFmpeg's messages would be a second, unsorted channel of errors. None drops them in C: with any level PyAV takes the
# GIL for each, also from the threads of a decoder that is closed early by somebody who holds the GIL and waits.
av.logging.set_level(None)


@contextmanager
def opened(path: str) -> Iterator[av.container.InputContainer]:
    """Opens a media file by path (never as a file object: that would lift the protocol allow-list).

    Raises:
      TaskError: `unreadable_video`, with FFmpeg's reason; `not_found` where the file is gone.
    """
    options = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}
    try:
        container = av.open(f"file:{path}", metadata_errors="replace", container_options=options)
    except MemoryError:
        raise
    except DAMAGE as error:
        if getattr(error, "errno", None) == errno.ENOMEM:  # the cap, told by the operating system
            raise MemoryError(reason(error)) from error
        if isinstance(error, FileNotFoundError):
            raise TaskError("not_found", reason(error)) from error
        raise TaskError("unreadable_video", f"no readable video container: {reason(error)}") from error
    with container:
        yield container


def reason(error: BaseException) -> str:
    """Returns FFmpeg's reason without the path that it may hold."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())


def video_stream(container: av.container.InputContainer, max_pixels: int = MAX_PIXELS, threads: int = 1) -> VideoStream:
    """Returns the best video stream that is not cover art, with the guards on its decoder set.

    Args:
      container: The opened file.
      max_pixels: Largest picture that is decoded.
      threads: Most threads of the decoder. Small pictures get one: the classifier is what the cores are for then.

    Raises:
      TaskError: `no_video`.
    """
    streams = [s for s in container.streams.video if not s.disposition.value & _ATTACHED_PICTURE]
    streams = [s for s in streams if s.codec_context is not None and s.codec_context.name]
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams}))
        raise TaskError("no_video", f"no video stream, only {kinds or 'nothing'}")
    best = container.streams.best("video")
    stream = best if best in streams else streams[0]
    context = stream.codec_context
    context.options = {"max_pixels": str(max_pixels)}
    several = threads > 1 and stream.width * stream.height >= _LARGE_PIXELS
    context.thread_type = "AUTO" if several else "NONE"
    context.thread_count = threads if several else 1
    return stream


def check_memory(stream: VideoStream) -> None:
    """Raises MemoryError where more pictures would not fit: FFmpeg calls its own failed allocations invalid data."""
    bytearray(_PICTURES_OF_A_DECODER * 2 * max(1, stream.width) * max(1, stream.height))


def sample_aspect(stream: VideoStream) -> float:
    """Returns width over height of the stream's samples; 1 where it is absent or absurd."""
    ratio = stream.sample_aspect_ratio or Fraction(1)
    return float(ratio) if Fraction(1, 8) <= ratio <= 8 else 1.0


def probe(request: dict[str, Any]) -> Iterator[Item]:
    """Child task: yields the facts of the file `request["path"]`, after one frame was really decoded.

    Raises:
      TaskError: `unreadable_video`, `no_video` or `no_frames`.
    """
    with opened(request["path"]) as container:
        stream = video_stream(container, request.get("max_pixels", MAX_PIXELS))
        try:
            frame = next(iter(container.decode(stream)), None)
        except MemoryError:
            raise
        except DAMAGE as error:
            check_memory(stream)
            raise TaskError("no_frames", f"not one frame could be decoded: {reason(error)}") from error
        if frame is None:
            check_memory(stream)
            raise TaskError("no_frames", "the video stream holds no frame")
        turns, _ = orientation(frame)
        width, height = geometry.displayed_size(frame.width, frame.height, sample_aspect(stream), turns)
        rate = stream.average_rate or stream.guessed_rate
        yield (
            {
                "duration_seconds": claimed_seconds(container, stream),
                "width": width,
                "height": height,
                "frame_rate": float(rate) if rate else 0.0,
                "container": container.format.name,
                "codec": stream.codec_context.name,
                "has_audio": bool(container.streams.audio),
            },
            None,
        )


def orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Returns how a player turns the decoded picture, as the file's display matrix says.

    Returns:
      Counter-clockwise quarter turns, 0..3, and whether the picture is mirrored left to right before it is turned.
    """
    data = cast(Any, frame.side_data).get(Type.DISPLAYMATRIX)
    if data is None:
        return 0, False
    a, b, _, c, d = struct.unpack_from("<5i", bytes(data))
    mirrored = a * d - b * c < 0
    degrees = -math.degrees(math.atan2(-b, -a) if mirrored else math.atan2(b, a))
    return geometry.quarter_turns(degrees), mirrored


def claimed_seconds(container: av.container.InputContainer, stream: VideoStream) -> float | None:
    """Returns the duration that the stream, or else the container, claims; None where neither does."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if not container.duration:
        return None
    # Matroska counts its duration from 0, not from the start of a recording that begins late
    late = (container.start_time or 0) if "matroska" in container.format.name else 0
    return (container.duration - late) / 1e6
