"""What the demo asks for, what it asks it of, and what is known of the answer."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.footage import BY_NAME

#: Actions, each with the ImageNet labels that give it away.
ACTIONS = {
    "playing the piano": ("grand piano", "upright", "marimba"),
    "writing": ("fountain pen", "ballpoint", "quill"),
    "on a bike": ("mountain bike", "bicycle-built-for-two", "unicycle"),
}
MIN_SCORE = 0.3
UNTRIMMED = "untrimmed.mp4"
_FRAME_SECONDS = 0.04


@dataclass(frozen=True)
class Scene:
    """A scene of the untrimmed video.

    Attributes:
      name: The video that it is taken from.
      from_seconds: Where it starts there.
      seconds: How long it is.
      start_seconds: Where it starts in the untrimmed video.
    """

    name: str
    from_seconds: int
    seconds: int
    start_seconds: int

    @property
    def action(self) -> str | None:
        """What it shows; None where it shows none of the demo's actions."""
        return BY_NAME[self.name].action

    @property
    def end_seconds(self) -> int:
        """Where it ends in the untrimmed video."""
        return self.start_seconds + self.seconds


#: The video that each scene is taken from, where it starts there, and its length, in seconds.
_PARTS = (
    ("dancer.avi", 5, 9),
    ("pianist.avi", 10, 13),
    ("jumper.mp4", 0, 7),
    ("writer.mp4", 0, 5),
    ("dancer.avi", 30, 9),
    ("bikes.mp4", 0, 10),
    ("pianist.avi", 60, 13),
    ("dancer.avi", 45, 12),
)
_STARTS = itertools.accumulate((seconds for _, _, seconds in _PARTS), initial=0)
SCENES = tuple(Scene(*part, start) for part, start in zip(_PARTS, _STARTS, strict=False))


@dataclass(frozen=True)
class Place:
    """A stretch of a video that shows an action.

    Attributes:
      name: The video's file name.
      action: What is seen.
      start_seconds: From when.
      end_seconds: Until when.
    """

    name: str
    action: str
    start_seconds: float = 0
    end_seconds: float = float("inf")

    def has(self, span: Mapping[str, Any]) -> bool:
        """Tells whether a row of the spans lies here and is of this action; a frame more on each side is no fault."""
        return (
            (Path(span["source"]).name, span["action"]) == (self.name, self.action)
            and self.start_seconds - _FRAME_SECONDS <= span["start_seconds"]
            and span["end_seconds"] <= self.end_seconds + _FRAME_SECONDS
        )


#: All that the job could find: scenes of the untrimmed video, and whole videos.
PLACES = (
    *(Place(UNTRIMMED, one.action, one.start_seconds, one.end_seconds) for one in SCENES if one.action),
    *(Place(one.name, one.action) for one in BY_NAME.values() if one.action),
)
