"""Stretches of a line, of seconds or of bytes, as (start, end)."""

from collections.abc import Iterable
from typing import TypeVar

_Number = TypeVar("_Number", int, float)


def joined(intervals: Iterable[tuple[_Number, _Number]], gap: _Number = 0) -> list[tuple[_Number, _Number]]:
    """Returns intervals in order, those as one that overlap, meet, or lie no further apart than `gap`."""
    found: list[tuple[_Number, _Number]] = []
    for start, end in sorted(intervals):
        if found and start <= found[-1][1] + gap:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found
