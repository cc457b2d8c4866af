"""From an action to the classifier's labels: by its own name or by the row's `classes`."""

import difflib
import heapq
import re
import unicodedata
from collections.abc import Iterable, Sequence


class UnknownLabelError(ValueError):
    """The classifier has no such label; the message names the closest five."""


class OpenLabels:
    """The labels of a zero-shot classifier: every name is one."""

    def match(self, action: str, classes: Iterable[str] = ()) -> tuple[str, ...]:
        """Returns the names that `classes` gives, or the action's own."""
        return tuple(dict.fromkeys(classes)) or (action,)


class LabelIndex:
    """Finds labels exactly, then with case, spaces, underscores and hyphens folded.

    Args:
      labels: The classifier's labels in output order. A name may occur twice (ImageNet has two cranes): it then
        stands for all its places.

    Attributes:
      labels: The same.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self._folded: dict[str, str] = {}
        for label in labels:
            self._folded.setdefault(fold(label), label)
        self._indices: dict[str, list[int]] = {}
        for index, label in enumerate(labels):
            self._indices.setdefault(label, []).append(index)

    def match(self, action: str, classes: Iterable[str] = ()) -> tuple[str, ...]:
        """Returns the labels that count as the action: those that `classes` names, or the action's own.

        Raises:
          UnknownLabelError: A name has no label; the message names the closest.
        """
        return tuple(dict.fromkeys(self._one(name) for name in (tuple(classes) or (action,))))

    def indices(self, labels: Iterable[str]) -> list[int]:
        """Returns the output places of labels that `match` returned."""
        return sorted({index for label in labels for index in self._indices[label]})

    def _one(self, name: str) -> str:
        if name in self._indices:
            return name
        if fold(name) in self._folded:
            return self._folded[fold(name)]
        nearest = ", ".join(repr(self._folded[label]) for label in closest(fold(name), self._folded))
        raise UnknownLabelError(
            f"the classifier has no label {name!r}; the closest of its {len(self.labels)} are {nearest}"
        )


def closest(name: str, labels: Iterable[str], most: int = 5) -> list[str]:
    """Returns the folded labels most like a folded name, best first: by the words they share, then by their letters."""
    words = _words(name)
    letters = difflib.SequenceMatcher()
    letters.set_seq2(name)

    def likeness(label: str) -> tuple[int, float]:
        letters.set_seq1(label)
        return len(words & _words(label)), letters.ratio()

    return heapq.nlargest(most, labels, key=likeness)


def _words(text: str) -> set[str]:
    """Returns the words of a text, without the shortest: `a` and `of` make no two names alike."""
    return {word for word in re.findall(r"\w+", text) if len(word) > 2}


def fold(text: str) -> str:
    """Folds case, runs of spaces, underscores and hyphens, and the two ways to write a letter with an accent."""
    return unicodedata.normalize("NFC", re.sub(r"[\s_-]+", " ", text).strip().casefold())
