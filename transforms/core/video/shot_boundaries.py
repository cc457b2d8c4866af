"""Shot boundaries, found while a video is decoded: hard cuts, and fades through black or white.

A boundary is the time of the first frame of a new shot; of a fade it is the first frame of the black or white. Imports
numpy alone: it runs in the decoder.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from clipscout.transforms.core.video.thumbnails import (
    THUMBNAIL_BYTES,
    colours_of,
    contrast,
    distance,
    is_blank,
    likeness,
)

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

#: Where frames were passed: so much of a change, and so much of the motion around it, may make a boundary, unless
#: pictures are so much alike. In real footage no boundary was missed at 0.8 and 1 either, whatever frames were passed.
_DOUBT, _CALM = 0.7, 0.7
_SURELY_SAME_PICTURE = 0.95

#: Black or white for so long is a shot of its own.
_BLANK_SECONDS = 0.5
#: Contrast is the luma's range without the outer twentieths. Black and white have next to none. On the way from them a
#: picture has at first a third of the contrast, or less, that it has when it is clear, and correlates with itself.
_CLEAR_CONTRAST = 20
#: Beside frames that were passed this is little: a fade may have reached black between two that were seen.
_FAINT_CONTRAST = 30
_FADING = 3
_SAME_FADING = 0.8
_ROUNDING_SECONDS = 1e-9


class _Frame(NamedTuple):
    time_seconds: float
    pixels: np.ndarray  # uint8[THUMBNAIL_BYTES], plane after plane
    colours: np.ndarray  # uint8[2, CHROMA_PIXELS], see `colours_of`
    #: Distance of the pixels plus that of the colours from the frame before; 0 of the first frame and after a pause.
    change: float
    blank: bool
    edge: bool  # blank, other than the frame before, or the reverse; or perhaps so among those that were passed
    #: How many frames between the one before and it were not seen. Over too long a time the change is infinite then.
    passed: int = 0

    @property
    def change_per_frame(self) -> float:
        return self.change / (self.passed + 1)


class BoundaryDetector:
    """Takes the frames of a video or segment one by one, and tells boundaries as soon as they are certain.

    Method: a change from one frame to the next is a hard cut where it stands out among its neighbours on both sides,
    so that fast motion is none (the adaptive detector of PySceneDetect), without repeated frames, with the colours
    beside the pixels (motion moves pixels, a cut changes colours as well), and unless the picture before and the one
    after are the same but for their brightness (a flash, a change of light). Not found are dissolves and wipes, jump
    cuts within one view, and anything in videos of three frames a second or among key frames alone.

    What is said of a frame depends on the frames within `REACH_SECONDS` of it and the one before those: so a segment
    that is decoded from a second before its start until `settled` has the boundaries of the whole video.

    Not all frames have to be seen. Where the change over some that were passed may hide a boundary, or leaves open what
    is one, all that is within reach is looked at again, and judged as if nothing had been passed.

    Args:
      look_again: Returns times and thumbnails of all frames between two times, without those; needed where frames are
        passed.
    """

    def __init__(self, look_again: Callable[[float, float], Sequence[tuple[float, np.ndarray]]] | None = None) -> None:
        self._look_again = look_again
        self._decided_seconds = -math.inf
        self._frames: deque[_Frame] = deque()
        self._pending: deque[_Frame] = deque()  # frames that may be boundaries
        self._earliest_seconds = 0.0  # no shot before it is long enough

    def add(self, time_seconds: float, thumbnail: np.ndarray, passed: int = 0) -> list[float]:
        """Takes the next frame; returns the boundaries that it made certain, in seconds, ascending.

        Args:
          time_seconds: Presentation time; ascends from call to call.
          thumbnail: uint8[THUMBNAIL_BYTES], the small picture, plane after plane; it is kept.
          passed: Number of frames between the one before and this one that are not seen.

        Raises:
          ValueError: The thumbnail has another shape.
        """
        if thumbnail.shape != (THUMBNAIL_BYTES,):
            raise ValueError(f"thumbnail is {thumbnail.shape}, expected ({THUMBNAIL_BYTES},)")
        before = self._frames[-1] if self._frames else None
        frame = _measured(time_seconds, thumbnail, before, passed)
        if before is None:
            self._earliest_seconds = time_seconds + MIN_SHOT_SECONDS - _ROUNDING_SECONDS
        self._frames.append(frame)
        self._suspect(frame)
        certain = self._decide(time_seconds - REACH_SECONDS)
        while len(self._frames) > 1 and self._frames[1].time_seconds < time_seconds - 2 * REACH_SECONDS:
            self._frames.popleft()
        return certain

    def finish(self) -> list[float]:
        """Returns the boundaries that no further frame can change, at the end of the video."""
        return self._decide(float("inf"))

    def settled(self, time_seconds: float) -> bool:
        """Tells whether all boundaries before a time are told, given that a frame at or after it was added."""
        if not self._pending:
            return True
        return self._pending[0].time_seconds >= time_seconds and not self._pending[0].passed

    def _suspect(self, frame: _Frame) -> None:
        """Keeps a frame that may be a boundary until that is certain; of cuts close together, the larger change."""
        rival = self._pending[-1] if self._pending else None
        if rival and (rival.edge or rival.passed or frame.passed or not _near(rival, frame)):
            rival = None
        if rival and rival.change < frame.change:
            self._pending.pop()
            rival = None
        least = _DOUBT * LEAST_CHANGE if frame.passed else LEAST_CHANGE
        if frame.edge or (frame.change >= least and not rival):
            self._pending.append(frame)

    def _decide(self, until_seconds: float) -> list[float]:
        certain = []
        while self._pending and self._pending[0].time_seconds <= until_seconds:
            frame = self._pending.popleft()
            if self._is_doubtful(frame):
                self._see_all_around(frame)
                continue
            self._decided_seconds = frame.time_seconds
            if frame.time_seconds >= self._earliest_seconds and (self._is_cut(frame) or self._is_fade(frame)):
                certain.append(frame.time_seconds)
        return certain

    def _is_doubtful(self, frame: _Frame) -> bool:
        """Tells whether frames that were passed would decide of a frame."""
        first, last = self._reach(frame)
        within = [self._frames[place] for place in range(first + 1, last + 1)]
        if not any(other.passed for other in within):
            return False
        if frame.edge or any(math.isinf(other.change) for other in within):
            return True
        if not frame.passed and self._is_cut(frame, 1 / _DOUBT):
            return False  # it stands out even from motion over more than a frame
        return self._is_cut(frame) or self._may_be_cut(frame)

    def _may_be_cut(self, frame: _Frame) -> bool:
        """Tells whether a frame, or one of those that were passed before it, may follow a hard cut."""
        before, after = self._around(frame)
        sides = [_motion(other.change_per_frame for other in side) for side in (before, after)]
        motion = _CALM * (min(sides) + 2 * max(sides)) / 3
        change, least = frame.change - frame.passed * motion, _DOUBT * max(LEAST_CHANGE, LEAST_RATIO * motion)
        if change < least or change * (1 - max(0.0, likeness(before[0].pixels, frame.pixels))) < least:
            return False
        return all(likeness(*pair) < _SURELY_SAME_PICTURE for pair in _returns(frame, before, after))

    def _see_all_around(self, frame: _Frame) -> None:
        """Takes in all frames that a decision looks at, and begins again from where was decided."""
        first, last = self._reach(frame)
        frames = list(self._frames)
        ends = frames[first].time_seconds, frames[last].time_seconds
        seen = dict(self._look_again(*ends)) if self._look_again else {}
        seen |= {other.time_seconds: other.pixels for other in frames[first + 1 : last + 1]}
        measured = frames[: first + 1]
        for time_seconds in sorted(seen):
            measured.append(_measured(time_seconds, seen[time_seconds], measured[-1]))
        self._frames = deque(measured + frames[last + 1 :])
        self._pending.clear()
        for other in self._frames:
            if other.time_seconds > self._decided_seconds:
                self._suspect(other)

    def _reach(self, frame: _Frame) -> tuple[int, int]:
        """Returns the places of the last frame before all that a decision looks at, and of the first one behind."""
        first = last = 0
        for place, other in enumerate(self._frames):
            if other.time_seconds < frame.time_seconds - REACH_SECONDS:
                first = place
            last = place
            if other.time_seconds >= frame.time_seconds + REACH_SECONDS:
                break
        return first, last

    def _is_cut(self, frame: _Frame, clarity: float = 1.0) -> bool:
        """Tells whether a frame follows a hard cut, which stands out so many times more than it has to."""
        if frame.change < LEAST_CHANGE:
            return False
        before, after = self._around(frame)
        last = before[0]  # there is one: a change has a frame before
        least = clarity * least_change([other.change for other in before], [other.change for other in after])
        if frame.change < least or frame.change * (1 - max(0.0, likeness(last.pixels, frame.pixels))) < least:
            return False
        if any(other.change >= frame.change for other in before if _near(other, frame)):
            return False
        if any(other.change > frame.change for other in after if _near(other, frame)):
            return False
        return all(likeness(*pair) < _SAME_PICTURE for pair in _returns(frame, before, after))

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
        shown = [other for other in after if contrast(other.pixels) >= _CLEAR_CONTRAST]
        return clear is not None and all(likeness(clear.pixels, other.pixels) < _SAME_PICTURE for other in shown)

    def _around(self, frame: _Frame) -> tuple[list[_Frame], list[_Frame]]:
        """Returns the neighbours before and after a frame, nearest first."""
        first, last = frame.time_seconds - _NEIGHBOUR_SECONDS, frame.time_seconds + _NEIGHBOUR_SECONDS
        before = [other for other in self._frames if first <= other.time_seconds < frame.time_seconds]
        after = [other for other in self._frames if frame.time_seconds < other.time_seconds <= last]
        return before[::-1], after


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


def _returns(frame: _Frame, before: Sequence[_Frame], after: Sequence[_Frame]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns pairs of pictures that are not the same unless what is before a frame is soon back, or it was there."""
    pairs = [(before[0].pixels, other.pixels) for other in after if _near(other, frame)]
    return pairs + [(other.pixels, frame.pixels) for other in before if _near(other, frame)]


def _measured(time_seconds: float, thumbnail: np.ndarray, before: _Frame | None, passed: int = 0) -> _Frame:
    pixels, colours, blank = thumbnail, colours_of(thumbnail), is_blank(thumbnail)
    if before is None:
        return _Frame(time_seconds, pixels, colours, 0.0, blank, edge=False)
    change = 0.0
    if time_seconds - before.time_seconds <= MAX_FRAME_SECONDS:
        change = distance(before.pixels, pixels) + distance(before.colours, colours)
    elif passed:
        change = math.inf
    edge = blank != before.blank
    if passed and change >= _REPEAT and not blank:
        edge = edge or min(contrast(pixels, step=4), contrast(before.pixels, step=4)) < _FAINT_CONTRAST
    return _Frame(time_seconds, pixels, colours, change, blank, edge, passed)


def _near(one: _Frame, other: _Frame) -> bool:
    return abs(one.time_seconds - other.time_seconds) < MIN_SHOT_SECONDS - _ROUNDING_SECONDS


def _clear_after_fading(frames: Sequence[_Frame]) -> _Frame | None:
    """Returns the first clear picture on the way from black or white, None if it was not there faintly before."""
    shown = [(frame, contrast(frame.pixels)) for frame in frames if not frame.blank]
    if not shown:
        return None
    faint, least = shown[0][0], max(_CLEAR_CONTRAST, _FADING * shown[0][1])
    clear = next((frame for frame, clarity in shown if clarity >= least), None)
    return clear if clear and likeness(faint.pixels, clear.pixels) >= _SAME_FADING else None
