"""The times of a row (`time_start` and `time_end`, as in the Kinetics files): where in a video spans are looked for."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from clipscout.transforms.core.intervals import joined
from clipscout.transforms.records import Ask

_COLUMNS = ("time_start", "time_end")
#: [start, end) in seconds, ascending and apart from each other.
Ranges = tuple[tuple[float, float], ...]


def times_of(extra: Mapping[str, Any]) -> tuple[float, float] | None:
    """Returns start and end that a row's own columns name; None where they name neither.

    Raises:
      ValueError: They are no times.
    """
    by_folded = {name.strip().lower(): value for name, value in extra.items()}
    cells = [by_folded.get(name, "") for name in _COLUMNS]
    if not any(str(value).strip() for value in cells):
        return None
    try:
        start, end = (
            float(value) if str(value).strip() else usual for value, usual in zip(cells, (0.0, math.inf), strict=True)
        )
    except (TypeError, ValueError):
        start = end = math.nan
    if not 0 <= start < end:
        raise ValueError(f"time_start and time_end are {cells[0]!r} and {cells[1]!r}, expected seconds")
    return start, end


def ranges_of(asks: Iterable[Ask]) -> dict[str, Ranges]:
    """Returns for each action where it is looked for; an action that one row looks for everywhere is not among them."""
    found: dict[str, list[tuple[float, float]]] = {}
    for ask in asks:
        found.setdefault(ask.action, []).append(times_of(ask.extra) or (0.0, math.inf))
    return {action: tuple(joined(ranges)) for action, ranges in found.items() if (0.0, math.inf) not in ranges}
