"""Puts scenes of several videos together to one: untrimmed, and with known places of all that it shows."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av

RATE = 25
#: A thread that looks ahead would make the bytes another each time.
_ENCODER = {"crf": "20", "preset": "veryfast", "x264-params": "sync-lookahead=0"}


def write(target: Path, frames: Iterable[av.VideoFrame], width: int, height: int) -> None:
    """Writes frames as H.264 at 25 frames/s, each stretched to the size; does nothing where the file exists."""
    if target.exists():
        return
    half_written = target.with_name(f".{target.name}")
    with av.open(str(half_written), "w") as output:
        stream = output.add_stream("libx264", rate=RATE, options=_ENCODER)
        stream.codec_context.thread_count = 2  # what x264 writes depends on it: the same on every machine
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, frame in enumerate(frames):
            picture = frame.reformat(width, height, "yuv420p")
            picture.pts, picture.time_base, picture.pict_type = number, Fraction(1, RATE), 0
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    half_written.rename(target)


def scene_frames(path: Path, seconds: int, rate: int, start_seconds: float = 0) -> Iterator[av.VideoFrame]:
    """Yields exactly `seconds * rate` frames: for each tick the last frame before or at it."""
    ticks, current = 0, None
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            while current is not None and ticks < seconds * rate and start_seconds + ticks / rate < frame.time:
                yield current
                ticks += 1
            if ticks == seconds * rate:
                return
            current = frame
    for _ in range(ticks, seconds * rate):
        yield current


def covering(frame: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
    """Returns the middle of a frame: as much as has the shape of the size, in that size."""
    scale = max(width / frame.width, height / frame.height)
    pixels = frame.to_ndarray(format="rgb24", width=round(frame.width * scale), height=round(frame.height * scale))
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return av.VideoFrame.from_ndarray(pixels[top : top + height, left : left + width].copy(), format="rgb24")
