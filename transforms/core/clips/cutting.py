"""Cutting spans into clips that play at once: encoded anew and right to the frame, or copied."""

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from clipscout.transforms.core.child.protocol import SIGN_OF_LIFE, Item, TaskError
from clipscout.transforms.core.clips import copying, reencoding
from clipscout.transforms.core.clips.outcomes import Outcome, Span, Wish, describe, fields_of
from clipscout.transforms.core.video import containers

#: Denominators of frame rates are at most this large: 30000/1001 is exact.
_FINEST_RATE = 10_000

__all__ = ["cut", "describe"]


def cut(request: dict[str, Any]) -> Iterator[Item]:
    """Child task: cuts spans out of one video and yields the probed facts of each clip, or why there is none.

    Args:
      request: `path` of the video, and `spans`: a list of `{"start_seconds", "end_seconds", "path"}` with times from
        the start of the video stream, and optionally `peak_seconds`, the moment that the poster shows (default: the
        middle). Optional, for all spans: `mode`, `exact` (default) or `copy`; `height`, the largest height of the
        clips in pixels, even, which scales down with the aspect kept and never enlarges, in `exact` alone; `poster`,
        whether each clip gets a JPEG beside it (its path with `.jpg`); `sound`, false for clips without it;
        `sound_kills`, whether it has ended processes, so that it is left alone; `in_order`, whether the clock of the
        file jumps, as its decoding has found; `keep_hdr`, whether a high dynamic range is kept in ten bits, as HEVC;
        `frame_rate`, frames per second, where the file holds parts of a video and so tells another.

    `exact` encodes anew, as H.264 and AAC, upright and with square pixels: a clip begins with the first frame at or
    after its start, or, where the one before is on screen for long after it, with that, from the start of the span on;
    it ends with the last frame before the end, which is not shown for long after it. `copy` copies packets, from the
    last key frame at or before the start to the next one at or after the end; sound that mp4 does not hold is dropped.
    What a file hides by an edit list before its start or behind its end, a copy hides too.

    Yields:
      For each span, in the order of the request, `{"index", "start_seconds", "end_seconds", "duration_seconds",
      "frames", "width", "height", "has_audio", "audio_missing_seconds", "poster", "flags"}`, of which the first two
      times are the range of the video that the clip really shows, and flags may hold `audio_dropped` or
      `audio_incomplete`; or `{"index", "code", "message"}`, and there is no file. Now and then a sign of life.

    Raises:
      ValueError: The mode is unknown.
    """
    if request.get("mode", "exact") not in ("exact", "copy"):
        raise ValueError(f"mode is {request['mode']!r}, expected exact or copy")
    spans = [_span(index, wish) for index, wish in enumerate(request["spans"])]
    ready: dict[int, dict[str, Any]] = {}
    due = 0
    for outcome in _outcomes(request, spans):
        if outcome is None:
            yield SIGN_OF_LIFE
            continue
        ready[outcome.span.index] = fields_of(outcome)
        if "code" in ready[outcome.span.index]:
            _remove(outcome.span)
        while due in ready:
            yield ready.pop(due), None
            due += 1


def _span(index: int, wish: dict[str, Any]) -> Span:
    start, end, peak = wish["start_seconds"], wish["end_seconds"], wish.get("peak_seconds")
    return Span(index, start, end, wish["path"], (start + end) / 2 if peak is None else peak)


def _outcomes(request: dict[str, Any], spans: list[Span]) -> Iterator[Outcome | None]:
    """Yields how each span ended, in any order; what spoils the video as a whole fails all that are left."""
    left = {span.index: span for span in spans}
    try:
        for outcome in _cutter(request, spans):
            if outcome is not None:
                del left[outcome.span.index]
            yield outcome
    except MemoryError:
        raise
    except (TaskError, *containers.DAMAGE) as error:
        for span in left.values():
            yield Outcome(span, error)


def _cutter(request: dict[str, Any], spans: list[Span]) -> Iterator[Outcome | None]:
    rate = request.get("frame_rate")
    wish = Wish(
        request.get("height"),
        bool(request.get("poster")),
        sound=bool(request.get("sound", True)),
        sound_kills=bool(request.get("sound_kills")),
        in_order=bool(request.get("in_order")),
        keep_hdr=bool(request.get("keep_hdr")),
        frame_rate=Fraction(rate).limit_denominator(_FINEST_RATE) if rate else None,
    )
    cutter = copying.copy if request.get("mode") == "copy" else reencoding.recode
    return cutter(request["path"], spans, wish)


def _remove(span: Span) -> None:
    for path in (span.path, span.poster_path):
        with contextlib.suppress(OSError):
            os.remove(path)
