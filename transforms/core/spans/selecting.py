"""Selection: the best spans over the whole job, so many per video, channel and action."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

#: Rules in the order in which they are asked.
RULES = ("clips_per_video", "clips_per_channel", "clips_per_action")


@dataclass(frozen=True)
class SelectionSettings:
    """How many spans of one action are kept; None is no cap.

    Attributes:
      clips_per_video: Of one video.
      clips_per_channel: Of one channel's videos; a video without a channel has one of its own.
      clips_per_action: Of all videos.
    """

    clips_per_video: int | None = None
    clips_per_channel: int | None = None
    clips_per_action: int | None = None

    def __bool__(self) -> bool:
        """Whether anything is capped."""
        return any(getattr(self, name) is not None for name in RULES)


@dataclass(frozen=True, order=True)
class Contender:
    """A span of one action; contenders sort best first.

    Attributes:
      weakness: Minus the score.
      key: The video's key.
      start_seconds, end_seconds: The span.
      channel: The channel's name, or the video's key where there is none.
    """

    weakness: float
    key: str
    start_seconds: float
    end_seconds: float
    channel: str


def select(contenders: Iterable[Contender], settings: SelectionSettings) -> Iterator[tuple[Contender, str]]:
    """Yields every span of one action, best first, with the rule that drops it, or an empty text.

    Greedy by score; equal scores go by video key and start, so that the choice is the same on any number of workers.

    Args:
      contenders: All spans of the action, in any order.
      settings: The caps.
    """
    kept: dict[tuple[str, str], int] = {}
    for contender in sorted(set(contenders)):
        groups = dict(zip(RULES, (contender.key, contender.channel, ""), strict=True))
        dropped_by = ""
        for name, group in groups.items():
            cap = getattr(settings, name)
            if cap is not None and kept.get((name, group), 0) >= cap:
                dropped_by = name
                break
        if not dropped_by:
            for name, group in groups.items():
                kept[name, group] = kept.get((name, group), 0) + 1
        yield contender, dropped_by
