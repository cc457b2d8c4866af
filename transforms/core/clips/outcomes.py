"""What a clip should be, and what it is: the spans of a request, and the reading back of every written file."""

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error

from clipscout.transforms.core.child.protocol import TaskError
from clipscout.transforms.core.storage.errors import DISK_FULL, disk_full_message
from clipscout.transforms.core.video import containers, geometry

#: Sound and picture begin together to within this.
_SYNC_SECONDS = 0.025
_ROUNDING_SECONDS = 1e-3
_LENGTH_SECONDS = 0.05


@dataclass(frozen=True)
class Wish:
    """How all spans of a request are cut.

    Attributes:
      height: Largest height of the clips in pixels; None keeps that of the video.
      posters: Whether each clip gets a poster.
      sound: Whether they get the sound of the video, if it has one.
      sound_kills: Whether the sound has ended processes, so that it is left alone and told to be missing.
      in_order: Whether the clock of the file jumps, so that it has to be read from its beginning.
      keep_hdr: Whether clips of a high dynamic range keep it, in ten bits, instead of being mapped to the standard one.
      frame_rate: Frames per second of the video, where its file, of parts of it, tells another; None elsewhere.
    """

    height: int | None = None
    posters: bool = False
    sound: bool = True
    sound_kills: bool = False
    in_order: bool = False
    keep_hdr: bool = False
    frame_rate: Fraction | None = None


@dataclass(frozen=True)
class Span:
    """One wish of a request.

    Attributes:
      index: Its position in the request.
      start_seconds, end_seconds: From the start of the video stream.
      path: The clip to write.
      peak_seconds: The moment that the poster shows.
    """

    index: int
    start_seconds: float
    end_seconds: float
    path: str
    peak_seconds: float

    @property
    def poster_path(self) -> str:
        """The poster beside the clip."""
        return self.path.removesuffix(".mp4") + ".jpg"


@dataclass(frozen=True)
class Written:
    """What was put into a clip.

    Attributes:
      start_seconds, end_seconds: The range of the video that it shows, from the start of the video stream.
      frames: Number of its frames.
      sound_seconds: When its sound begins, from its first frame; None where it has none.
      poster: Whether there is a poster.
      flags: E.g. `audio_dropped`.
      missing_seconds: For how long its sound is silence because there is none, or none that can be decoded.
    """

    start_seconds: float
    end_seconds: float
    frames: int
    sound_seconds: float | None
    poster: bool
    flags: tuple[str, ...] = ()
    missing_seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """How the cutting of a span ended: with a clip, or with an error."""

    span: Span
    result: Written | Exception


def fields_of(outcome: Outcome) -> dict[str, Any]:
    """Reads a clip back and returns what is found, or `{"index", "code", "message"}` where there is none."""
    result = outcome.result
    if isinstance(result, Written):
        try:
            found = _checked(outcome.span.path, result)
        except MemoryError:
            raise
        except (TaskError, *containers.DAMAGE) as error:
            result = error
        else:
            known = {
                "start_seconds": result.start_seconds,
                "end_seconds": result.end_seconds,
                "poster": result.poster,
                "audio_missing_seconds": round(result.missing_seconds, 3),
            }
            return {"index": outcome.span.index, **found, **known, "flags": list(result.flags)}
    if isinstance(result, TaskError):
        return {"index": outcome.span.index, "code": result.code, "message": str(result)}
    if full := disk_full_message(result, os.path.dirname(outcome.span.path)):
        return {"index": outcome.span.index, "code": DISK_FULL, "message": full}
    return {"index": outcome.span.index, "code": "cut_failed", "message": containers.reason(result)}


def describe(path: str) -> dict[str, Any]:
    """Returns what a written clip holds, from reading it back.

    Returns:
      `duration_seconds` of the picture, `frames`, `width` and `height` in pixels as a player shows them, `has_audio`.
    """
    return _read(path)[0]


def _read(path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns what a clip holds, see `describe`, and what else has to hold of it."""
    with av.open(path) as container:
        kinds = [stream.type for stream in container.streams]
        if not container.streams.video:
            raise TaskError("cut_failed", f"the clip holds {kinds or 'no streams'}, expected video")
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        packets = [packet for packet in container.demux(stream) if packet.pts is not None]
        frames = sum(not packet.is_discard for packet in packets)
        hides = frames < len(packets)
        container.seek(0, backward=True)
        first = next(iter(container.decode(stream)), None)
        if first is None or first.time is None:
            raise TaskError("cut_failed", f"the clip's first frame cannot be decoded, of {frames}")
        sounds = container.streams.audio
        sound = float((sounds[0].start_time or 0) * (sounds[0].time_base or 0)) if sounds else None
        turns, _ = containers.orientation(first)
        width, height = geometry.displayed_size(
            first.width, first.height, containers.sample_aspect(stream.sample_aspect_ratio), turns
        )
        found = {
            "duration_seconds": float((stream.duration or 0) * (stream.time_base or 0)),
            "frames": frames,
            "width": width,
            "height": height,
            "has_audio": bool(sounds),
        }
        begins = packets[0].is_keyframe and (first.key_frame or hides)
        return found, {"streams": kinds, "key_frame": begins, "picture_seconds": first.time, "sound_seconds": sound}


def _checked(path: str, written: Written) -> dict[str, Any]:
    """Returns what a clip holds, see `describe`.

    Raises:
      TaskError: `cut_failed`: it is not what was put into it; the message tells what differs.
    """
    found, more = _read(path)
    seconds = written.end_seconds - written.start_seconds
    wrong = []
    streams = ["video"] if written.sound_seconds is None else ["video", "audio"]
    if more["streams"] != streams:
        wrong.append(f"streams {more['streams']}, expected {streams}")
    if not more["key_frame"]:
        wrong.append("it does not begin with a key frame")
    if found["frames"] != written.frames:
        wrong.append(f"{found['frames']} frames, expected {written.frames}")
    if abs(found["duration_seconds"] - seconds) > _LENGTH_SECONDS:
        wrong.append(f"{found['duration_seconds']:.3f} s long, expected {seconds:.3f} s")
    if abs(more["picture_seconds"]) > _ROUNDING_SECONDS:
        wrong.append(f"the picture begins at {more['picture_seconds']:.3f} s, expected 0")
    if written.sound_seconds is not None and more["sound_seconds"] is not None:
        late = more["sound_seconds"] - written.sound_seconds
        if abs(late) > _SYNC_SECONDS:
            wrong.append(f"the sound begins at {more['sound_seconds']:.3f} s, expected {written.sound_seconds:.3f} s")
    if wrong:
        raise TaskError("cut_failed", f"the clip is not what was put into it: {'; '.join(wrong)}")
    return found
