"""Rules that refuse a video by what the site says of it, on the listing and again on the full information."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: A larger number is no fact: it cannot be told from its neighbours.
_LARGEST = 2.0**53


@dataclass(frozen=True)
class FilterSettings:
    """Which videos are wanted.

    Attributes:
      min_seconds, max_seconds: Allowed duration; a duration that is not told passes.
      licence: `any`, or `creative_commons`.
    """

    min_seconds: float = 0.0
    max_seconds: float = float("inf")
    licence: str = "any"


def channel_of(facts: Mapping[str, Any], key: str) -> str:
    """Returns by what videos of one channel are known as such; a video that tells of none is a channel of its own."""
    channel = facts.get("channel_id") or facts.get("channel") or facts.get("uploader")
    return f"channel {channel}" if channel else f"video {key}"


def channel_name(facts: Mapping[str, Any]) -> str:
    """Returns what a person calls the channel of a video; empty where the site told none."""
    return str(facts.get("channel") or facts.get("uploader") or "")


def number(value: Any) -> float | None:
    """Returns a number that a site may mean; None for one that is not finite, negative or beyond all measure."""
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if plain and 0 <= value <= _LARGEST else None


def too_high(width: float, height: float, height_cap: int) -> tuple[str, str] | None:
    """Returns the code and message for a picture whose smaller side is above the cap, or None."""
    if min(width, height) <= height_cap:
        return None
    return "no_format", f"the smallest format is {width:.0f}x{height:.0f}, --max_height_cap {height_cap}"


def refusal(facts: Mapping[str, Any], settings: FilterSettings, *, complete: bool) -> tuple[str, str] | None:
    """Returns the code and message of the rule that refuses a video, or None.

    Args:
      facts: yt-dlp's fields: `duration`, `live_status`, `is_live`, `license`; any may be missing.
      settings: What is wanted.
      complete: Whether these are the full facts; a listing does not tell the licence, so it is judged later.
    """
    live = facts.get("live_status")
    if live == "is_upcoming":
        return "upcoming", "the video has not been shown yet"
    if live in ("is_live", "post_live") or facts.get("is_live"):
        return "live", "the video is a live stream"
    duration = number(facts.get("duration"))
    if duration is not None:
        if duration < settings.min_seconds:
            return "too_short", f"{duration:g} s, shorter than {settings.min_seconds:g} s"
        if duration > settings.max_seconds:
            return "too_long", f"{duration:g} s, longer than {settings.max_seconds:g} s"
    if complete and settings.licence == "creative_commons":
        licence = str(facts.get("license") or "")
        folded = licence.casefold()
        if not ("creative commons" in folded or folded.startswith(("cc-", "cc by", "cc0"))):
            return "licence", f"the licence is {licence or 'not told'!r}, not Creative Commons"
    return None
