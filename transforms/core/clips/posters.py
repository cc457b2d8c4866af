"""Posters: one frame of a clip as a JPEG beside it."""

from fractions import Fraction
from pathlib import Path

import av
import av.container
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange

from clipscout.transforms.core.clips import encoder
from clipscout.transforms.core.video import colours, containers
from clipscout.transforms.core.video.colours import Tags
from clipscout.transforms.core.video.frames import Picture

#: FFmpeg's quality scale of 2 (best) to 31, in its units of 118.
_QUALITY = {"flags": "+qscale", "global_quality": str(3 * 118)}


class PosterChoice:
    """Finds the frame nearest to a moment among those that are offered in order of time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._distance = float("inf")
        self.frame: VideoFrame | None = None

    def offer(self, frame: VideoFrame, seconds: float) -> None:
        """Considers a frame."""
        distance = abs(seconds - self._seconds)
        if distance < self._distance:
            self._distance, self.frame = distance, frame


def write(frame: VideoFrame, tags: Tags, path: str) -> bool:
    """Writes a fitted frame as a JPEG.

    Args:
      frame: As `encoder.Fitter` gives it.
      tags: Its colours.
      path: The file to write.

    Returns:
      Whether it was written; a clip is whole without it.
    """
    try:
        picture = colours.to_jpeg(frame, tags)
        encoder = CodecContext.create("mjpeg", "w")
        assert isinstance(encoder, VideoCodecContext)
        encoder.width, encoder.height, encoder.pix_fmt = picture.width, picture.height, "yuvj420p"
        encoder.color_range, encoder.time_base = ColorRange.JPEG, Fraction(1, 25)
        encoder.options = dict(_QUALITY)
        picture.pict_type, picture.pts, picture.time_base = 0, 0, Fraction(1, 25)
        packets = [*encoder.encode(picture), *encoder.encode(None)]
        Path(path).write_bytes(b"".join(bytes(packet) for packet in packets))
    except MemoryError:
        raise
    except containers.DAMAGE:
        return False
    return True


def write_from_clip(clip: str, seconds: float, path: str) -> bool:
    """Writes the poster of a clip that was copied, from the frame nearest to a moment.

    Args:
      clip: Path of the clip.
      seconds: The moment, from the clip's start.
      path: The file to write.

    Returns:
      Whether it was written.
    """
    choice = PosterChoice(seconds)
    try:
        with av.open(clip) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            container.seek(max(0, int(seconds / float(stream.time_base or 1))), stream=stream, backward=True)
            for frame in container.decode(stream):
                if frame.time is not None:
                    choice.offer(frame, frame.time)
                    if frame.time >= seconds:
                        break
            if choice.frame is None:
                return False
            colours.mend(choice.frame)
            picture = Picture(choice.frame, containers.sample_aspect(stream.sample_aspect_ratio))
            tags = colours.clip_tags(choice.frame, keep_hdr=False)
            fitted = encoder.Fitter(encoder.shape_of(picture), tags).fit(picture)
            return write(fitted, tags, path)
    except MemoryError:
        raise
    except containers.DAMAGE:
        return False
