"""Shot boundaries, found while a video is decoded: hard cuts, and fades through black or white.

A boundary is the time of the first frame of a new shot; of a fade it is the first frame of the black or white. Imports
numpy alone: it runs in the decoder.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

#: The picture that is compared, for a fast scaler (fast bilinear): the figures below were chosen on it.
THUMBNAIL_WIDTH, THUMBNAIL_HEIGHT, THUMBNAIL_FORMAT = 32, 18, "yuv420p"
LUMA_PIXELS = THUMBNAIL_WIDTH * THUMBNAIL_HEIGHT
CHROMA_PIXELS = LUMA_PIXELS // 4
THUMBNAIL_BYTES = LUMA_PIXELS + 2 * CHROMA_PIXELS

#: A hard cut: least change from the frame before (see `_Frame`), and least multiple of the motion around it.
#: On real footage nothing changes between 1.5 and 8, and between 1.8 and 2.3.
LEAST_CHANGE = 5.0
LEAST_RATIO = 2.0
#: Of two changes closer than this the larger one counts; and a picture that is back so soon was never gone (a flash).
MIN_SHOT_SECONDS = 0.2
#: Over more time than this between two frames motion looks like a cut: such a change tells nothing.
MAX_FRAME_SECONDS = 0.3
#: A smaller change is a repeated frame (24 pictures shown at 60 Hz) or stillness, and says nothing about motion.
_REPEAT = 1.0
#: Motion on one side of a frame: so many changes that are no repeats, and all within so long.
_MOTION_FRAMES = 2
_NEIGHBOUR_SECONDS = 0.75
#: What a decision looks at is no further away: the neighbours of a fade, and those of a hard cut close beside it.
REACH_SECONDS = _NEIGHBOUR_SECONDS + MIN_SHOT_SECONDS

#: Correlation of the luma from which two pictures are the same, in another light or not.
_SAME_PICTURE = 0.9

#: Black or white for so long is a shot of its own.
_BLANK_SECONDS = 0.5
#: Contrast is the luma's range without the outer twentieths. Black and white have next to none. On the way from them a
#: picture has at first a third of the contrast, or less, that it has when it is clear, and correlates with itself.
_BLANK_CONTRAST, _CLEAR_CONTRAST = 6, 20
_BLACK, _WHITE = 32, 220
_FADING = 3
_SAME_FADING = 0.8
_OUTER_PIXELS = LUMA_PIXELS // 20
_ROUNDING_SECONDS = 1e-9


class _Frame(NamedTuple):
    time_seconds: float
    pixels: np.ndarray  # uint8[THUMBNAIL_BYTES], plane after plane
    colours: np.ndarray  # uint8[2, CHROMA_PIXELS], see `colours_of`
    #: Distance of the pixels plus that of the colours from the frame before; 0 of the first frame and after a pause.
    change: float
    blank: bool
    edge: bool  # blank, other than the frame before, or the reverse


class BoundaryDetector:
    """Takes the frames of a video or segment one by one, and tells boundaries as soon as they are certain.

    Method: a change from one frame to the next is a hard cut where it stands out among its neighbours on both sides,
    so that fast motion is none (the adaptive detector of PySceneDetect), without repeated frames, with the colours
    beside the pixels (motion moves pixels, a cut changes colours as well), and unless the picture before and the one
    after are the same but for their brightness (a flash, a change of light). Not found are dissolves and wipes, jump
    cuts within one view, and anything in videos of three frames a second or among key frames alone.

    What is said of a frame depends on the frames within `REACH_SECONDS` of it and the one before those: so a segment
    that is decoded from a second before its start until `settled` has the boundaries of the whole video.
    """

    def __init__(self) -> None:
        self._frames: deque[_Frame] = deque()
        self._pending: deque[_Frame] = deque()  # frames that may be boundaries
        self._earliest_seconds = 0.0  # no shot before it is long enough

    def add(self, time_seconds: float, thumbnail: np.ndarray) -> list[float]:
        """Takes the next frame; returns the boundaries that it made certain, in seconds, ascending.

        Args:
          time_seconds: Presentation time; ascends from call to call.
          thumbnail: uint8[THUMBNAIL_BYTES], the small picture, plane after plane; it is kept.

        Raises:
          ValueError: The thumbnail has another shape.
        """
        if thumbnail.shape != (THUMBNAIL_BYTES,):
            raise ValueError(f"thumbnail is {thumbnail.shape}, expected ({THUMBNAIL_BYTES},)")
        before = self._frames[-1] if self._frames else None
        frame = _measured(time_seconds, thumbnail, before)
        if before is None:
            self._earliest_seconds = time_seconds + MIN_SHOT_SECONDS - _ROUNDING_SECONDS
        self._frames.append(frame)
        self._suspect(frame)
        certain = self._decide(time_seconds - REACH_SECONDS)
        while self._frames[0].time_seconds < time_seconds - 2 * REACH_SECONDS:
            self._frames.popleft()
        return certain

    def finish(self) -> list[float]:
        """Returns the boundaries that no further frame can change, at the end of the video."""
        return self._decide(float("inf"))

    def settled(self, time_seconds: float) -> bool:
        """Tells whether all boundaries before a time are told, given that a frame at or after it was added."""
        return not self._pending or self._pending[0].time_seconds >= time_seconds

    def _suspect(self, frame: _Frame) -> None:
        """Keeps a frame that may be a boundary until that is certain; of cuts close together, the larger change."""
        rival = self._pending[-1] if self._pending else None
        if rival and (rival.edge or not _near(rival, frame)):
            rival = None
        if rival and rival.change < frame.change:
            self._pending.pop()
            rival = None
        if frame.edge or (frame.change >= LEAST_CHANGE and not rival):
            self._pending.append(frame)

    def _decide(self, until_seconds: float) -> list[float]:
        certain = []
        while self._pending and self._pending[0].time_seconds <= until_seconds:
            frame = self._pending.popleft()
            if frame.time_seconds >= self._earliest_seconds and (self._is_cut(frame) or self._is_fade(frame)):
                certain.append(frame.time_seconds)
        return certain

    def _is_cut(self, frame: _Frame) -> bool:
        """Tells whether a frame follows a hard cut."""
        if frame.change < LEAST_CHANGE:
            return False
        before, after = self._around(frame)
        last = before[0]  # there is one: a change has a frame before
        least = least_change([other.change for other in before], [other.change for other in after])
        if frame.change < least or frame.change * (1 - max(0.0, _likeness(last, frame))) < least:
            return False
        before, after = ([other for other in side if _near(other, frame)] for side in (before, after))
        if any(other.change >= frame.change for other in before) or any(other.change > frame.change for other in after):
            return False
        returns = [(last, other) for other in after] + [(other, frame) for other in before]
        return all(_likeness(*pair) < _SAME_PICTURE for pair in returns)

    def _is_fade(self, frame: _Frame) -> bool:
        """Tells whether a fade reaches black or white with a frame, or has left it after a while."""
        if not frame.edge:
            return False
        before, after = self._around(frame)
        if frame.blank:
            flickers = any(other.blank and _near(other, frame) for other in before)
        else:
            flickers = not all(
                other.blank for other in before if frame.time_seconds - other.time_seconds <= _BLANK_SECONDS
            ) or any(other.edge and _near(other, frame) for other in before)  # after a pause it has just begun
        if flickers or any(self._is_cut(other) for other in (*before, *after) if _near(other, frame)):
            return False
        if not frame.blank:
            return _clear_after_fading([frame, *after]) is not None
        clear = _clear_after_fading(before)
        shown = [other for other in after if _contrast(other.pixels) >= _CLEAR_CONTRAST]
        return clear is not None and all(_likeness(clear, other) < _SAME_PICTURE for other in shown)

    def _around(self, frame: _Frame) -> tuple[list[_Frame], list[_Frame]]:
        """Returns the neighbours before and after a frame, nearest first."""
        first, last = frame.time_seconds - _NEIGHBOUR_SECONDS, frame.time_seconds + _NEIGHBOUR_SECONDS
        before = [other for other in self._frames if first <= other.time_seconds < frame.time_seconds]
        after = [other for other in self._frames if frame.time_seconds < other.time_seconds <= last]
        return before[::-1], after


def colours_of(pixels: np.ndarray) -> np.ndarray:
    """Returns uint8[2, CHROMA_PIXELS]: the chroma of a thumbnail without its places, sorted within each plane.

    How far two of them are apart is the earth mover's distance of the histograms: what is left of the pixels'
    difference when every pixel may move.
    """
    return np.sort(pixels[LUMA_PIXELS:].reshape(2, CHROMA_PIXELS))


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the mean difference of the bytes of two arrays of one shape, 0..255."""
    # bytes cannot be negative; the call for each frame has to be quick
    changes = np.maximum(one, other) - np.minimum(one, other)
    return int(np.add.reduce(changes, axis=None, dtype=np.int64)) / changes.size


def least_change(before: Iterable[float], after: Iterable[float]) -> float:
    """Returns how large a change has to be to stand out from the motion around it.

    The motion on a side is the mean of the nearest two changes that are no repeats; a single one may be a cut itself
    and is no motion. The side with more motion counts twice: where motion begins or ends all at once, with stillness
    on the other side, its first and last step are no cuts.

    Args:
      before: Changes of the frames before, nearest first.
      after: Changes of the frames after, nearest first.
    """
    less, more = sorted((_motion(before), _motion(after)))
    return max(LEAST_CHANGE, LEAST_RATIO * (less + 2 * more) / 3)


def _motion(changes: Iterable[float]) -> float:
    moving = [change for change in changes if change >= _REPEAT][:_MOTION_FRAMES]
    return sum(moving) / _MOTION_FRAMES if len(moving) == _MOTION_FRAMES else 0.0


def _measured(time_seconds: float, thumbnail: np.ndarray, before: _Frame | None) -> _Frame:
    pixels, colours, blank = thumbnail, colours_of(thumbnail), _is_blank(thumbnail)
    if before is None:
        return _Frame(time_seconds, pixels, colours, 0.0, blank, edge=False)
    change = 0.0
    if time_seconds - before.time_seconds <= MAX_FRAME_SECONDS:
        change = distance(before.pixels, pixels) + distance(before.colours, colours)
    return _Frame(time_seconds, pixels, colours, change, blank, blank != before.blank)


def _is_blank(pixels: np.ndarray) -> bool:
    """Tells whether a picture is black or white all over."""
    light = pixels[:LUMA_PIXELS]
    # nearly always told by counting, which is quick
    if np.count_nonzero(light > _BLACK) > _OUTER_PIXELS and np.count_nonzero(light < _WHITE) > _OUTER_PIXELS:
        return False
    return _contrast(pixels) <= _BLANK_CONTRAST


def _contrast(pixels: np.ndarray) -> int:
    light = np.sort(pixels[:LUMA_PIXELS])
    return int(light[-1 - _OUTER_PIXELS]) - int(light[_OUTER_PIXELS])


def _near(one: _Frame, other: _Frame) -> bool:
    return abs(one.time_seconds - other.time_seconds) < MIN_SHOT_SECONDS - _ROUNDING_SECONDS


def _likeness(one: _Frame, other: _Frame) -> float:
    """Returns the correlation of the luma of two pictures, -1..1: 1 where they differ in brightness and contrast alone.

    A picture without contrast is like no other.
    """
    lights = [frame.pixels[:LUMA_PIXELS].astype(np.float64) for frame in (one, other)]
    lights = [light - light.mean() for light in lights]
    norm = float(np.linalg.norm(lights[0]) * np.linalg.norm(lights[1]))
    return float(np.dot(*lights)) / norm if norm else 0.0


def _clear_after_fading(frames: Sequence[_Frame]) -> _Frame | None:
    """Returns the first clear picture on the way from black or white, None if it was not there faintly before."""
    shown = [(frame, _contrast(frame.pixels)) for frame in frames if not frame.blank]
    if not shown:
        return None
    faint, contrast = shown[0]
    least = max(_CLEAR_CONTRAST, _FADING * contrast)
    clear = next((frame for frame, contrast in shown if contrast >= least), None)
    return clear if clear and _likeness(faint, clear) >= _SAME_FADING else None
