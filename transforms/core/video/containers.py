"""Opening hostile media files with PyAV: allow-listed containers, the file protocol alone, bounded pictures.

The facts behind each guard were found by experiment; ARCHITECTURE.md ("Hostile media") tells them.
"""

import errno
import math
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from typing import Any, cast

import av
import av.container
import av.error
import av.logging
from av.audio.stream import AudioStream
from av.sidedata.sidedata import Type
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from clipscout.transforms.core.child.protocol import TaskError
from clipscout.transforms.core.video import geometry

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
    "mxf",
    "ivf",
    "dv",
    "h264",
    "hevc",
    "wtv",
    "nut",
)
_ATTACHED_PICTURE = 0x0400
_CLOCK_MAY_JUMP = 0x0200  # AVFMT_TS_DISCONT
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
        found = _refused_format(path, options) if getattr(error, "errno", None) == errno.EINVAL else ""
        why = f"it is {found}, and allowed are {', '.join(CONTAINERS)}" if found else reason(error)
        raise TaskError("unreadable_video", f"no readable video container: {why}") from error
    with container:
        yield container


def _refused_format(path: str, options: dict[str, str]) -> str:
    """Returns FFmpeg's name of a format that it knew and that the list does not allow: its log alone tells."""
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as logged, suppress(*DAMAGE):
            av.open(f"file:{path}", container_options=options).close()
    finally:
        av.logging.set_level(None)
    return next((name for _, name, text in logged if "not on whitelist" in text), "")


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


def sample_aspect(ratio: Fraction | None) -> float:
    """Returns width over height of samples; 1 where it is absent or absurd."""
    return float(ratio) if ratio and Fraction(1, 8) <= ratio <= 8 else 1.0


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


def clock_may_jump(container: av.container.InputContainer) -> bool:
    """Tells whether FFmpeg expects that the clock of a container of this format jumps, as that of MPEG-TS does."""
    return bool(container.format.flags & _CLOCK_MAY_JUMP)


def sound_stream(container: av.container.InputContainer, picture: VideoStream) -> AudioStream | None:
    """Returns the best sound of the programme that a picture belongs to; None where it has none."""
    stream = container.streams.best("audio", related=picture)
    return stream if isinstance(stream, AudioStream) else None


def programme(container: av.container.InputContainer, picture: VideoStream) -> list[Stream]:
    """Returns a picture and its sound: they are read together, so that jumps of the clock are found alike."""
    sound = sound_stream(container, picture)
    return [picture] if sound is None else [picture, sound]


def channel_layout(container: av.container.InputContainer, stream: AudioStream) -> str:
    """Returns FFmpeg's description of a stream's channels, e.g. `stereo`; empty where it has none.

    PyAV copies a layout with an order of its own so that it is freed twice, whenever it is looked at.
    """
    found = re.search(r": Audio: .* Hz, ([^,\n]+)", _description(container, stream))
    return found[1].strip() if found else ""


def cropping(container: av.container.InputContainer, stream: VideoStream) -> tuple[int, int, int, int] | None:
    """Returns what a container cuts off the pictures of a stream: pixels left, right, top, bottom; None for nothing."""
    found = re.search(r"^ +Frame Cropping: (\d+)/(\d+)/(\d+)/(\d+)$", _description(container, stream), re.MULTILINE)
    sides = tuple(int(side) for side in found.groups()) if found else (0, 0, 0, 0)
    left, right, top, bottom = sides
    fits = left + right < stream.width and top + bottom < stream.height
    return (left, right, top, bottom) if fits and any(sides) else None


def _description(container: av.container.InputContainer, stream: Stream) -> str:
    """Returns what FFmpeg's dump of a file says of a stream: the only way to some facts."""
    av.logging.set_level(av.logging.INFO)
    try:
        dump = cast(Any, container).dumps_format()
    finally:
        av.logging.set_level(None)
    found = re.search(rf"^  Stream #0:{stream.index}\b.*?(?=^  Stream #|\Z)", dump, re.MULTILINE | re.DOTALL)
    return found[0] if found else ""
