"""What a summary tells besides counts, in bounded memory: scores of each action, first messages of each failure code.

A tally is a name with a value: a number is summed, a score becomes part of `Scores`, a message with its position part
of `Messages`. In which order values and partial totals come together does not matter.
"""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np

#: How many messages are kept of each failure code.
MESSAGES = 3
_DIGITS = 3


class Scores:
    """Any number of scores: the best of them, and how many there are of each, cut off after three significant digits.

    Quantiles need all scores; cut off they are at most 900 different ones between a power of ten and the next. How many
    reach a threshold of three digits is exact so.
    """

    def __init__(self) -> None:
        self.best = -math.inf
        self._counts: Counter[float] = Counter()

    def add(self, score: float) -> None:
        """Adds a score."""
        self.best = max(self.best, score)
        self._counts[cut_off(score)] += 1

    def merge(self, other: "Scores") -> None:
        """Adds the scores of another."""
        self.best = max(self.best, other.best)
        self._counts.update(other._counts)

    def __len__(self) -> int:
        return self._counts.total()

    def quantile(self, part: float) -> float:
        """Returns the score, cut off, that this part of all scores does not pass: 0.5 is for the (lower) median."""
        place, passed = math.ceil(part * len(self)), 0
        for score in sorted(self._counts):
            passed += self._counts[score]
            if passed >= place:
                return score
        raise ValueError("there are no scores")

    def counts(self) -> list[tuple[float, int]]:
        """Returns each score, cut off, with how many there are of it, ascending."""
        return sorted(self._counts.items())

    def at_least(self, threshold: float) -> int:
        """Returns how many scores reach a threshold; exactly, if it has three digits at most."""
        return sum(count for score, count in self._counts.items() if score >= threshold)


def cut_off(score: float) -> float:
    """Returns the largest number of three significant digits that a score, once a float32, reaches."""
    rounded = float(f"{score:.{_DIGITS}g}")
    if np.float32(rounded) <= np.float32(score):
        return rounded
    step = 10.0 ** (math.floor(math.log10(abs(score))) - _DIGITS + 1)
    return float(f"{rounded - step:.{_DIGITS}g}")


class Messages:
    """The first distinct messages of any number, in order of their places."""

    def __init__(self) -> None:
        self._positions: dict[str, tuple[str, ...]] = {}

    def add(self, placed: tuple[tuple[str, ...], str]) -> None:
        """Adds a message with its position."""
        position, message = placed
        self._positions[message] = min(position, self._positions.get(message, position))
        if len(self._positions) > MESSAGES:
            del self._positions[max(self._positions, key=self._positions.__getitem__)]

    def merge(self, other: "Messages") -> None:
        """Adds the messages of another."""
        for message, position in other._positions.items():
            self.add((position, message))

    def first(self) -> list[str]:
        """Returns the messages."""
        return sorted(self._positions, key=self._positions.__getitem__)


Total: TypeAlias = int | Scores | Messages


def added(total: Total | None, value: Any) -> Total:
    """Returns a total with one more value, or with another total; it may be changed, None is one of nothing."""
    if isinstance(value, Scores | Messages):
        return value if total is None else _merged(total, value)
    if isinstance(value, int):
        assert total is None or isinstance(total, int)
        return value + (total or 0)
    if total is None:
        total = Scores() if isinstance(value, float) else Messages()
    assert not isinstance(total, int)
    total.add(value)
    return total


def merged(totals: Iterable[Total | None]) -> Total | None:
    """Returns what several totals of one name are together; the first may be changed."""
    whole: Total | None = None
    for total in totals:
        whole = _merged(whole, total) if whole is not None and total is not None else whole or total
    return whole


def _merged(whole: Total, total: Total) -> Total:
    if isinstance(whole, int):
        assert isinstance(total, int)
        return whole + total
    assert not isinstance(total, int)
    whole.merge(total)  # type: ignore[arg-type]  # of one name, so of one kind
    return whole
