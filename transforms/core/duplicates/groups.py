"""Groups of clips that are tied, and which clip of a group is kept (arXiv 1705.06950, section 3)."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from clipscout.transforms.core.storage import naming

_BY_SCORE = "score"


@dataclass(frozen=True)
class Choice:
    """Which of several clips is kept.

    Attributes:
      by: `score`: the one with the strongest response; `draw`: a seeded draw, as in the paper.
      seed: Of the draw.
    """

    by: str = _BY_SCORE
    seed: int = 0

    def of(self, clips: Sequence[tuple[str, float]]) -> str:
        """Returns the name of the one that is kept.

        Args:
          clips: (name, score) pairs, in any order; there is one at least.
        """
        return min(clips, key=self._place)[0]

    def _place(self, clip: tuple[str, float]) -> tuple[float | str, str]:
        name, score = clip
        return (-score if self.by == _BY_SCORE else naming.digest(f"{self.seed} {name}", 32)), name


def tied(edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Returns the groups of names that pairs tie, directly or through others; each sorted, the first of each sorted.

    Args:
      edges: Pairs of names.
    """
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while (above := leader.setdefault(name, name)) != name:
            leader[name] = leader[above]
            name = leader[name]
        return name

    for one, other in edges:
        first, second = sorted((find(one), find(other)))
        leader[second] = first
    groups: dict[str, list[str]] = {}
    for name in leader:
        groups.setdefault(find(name), []).append(name)
    return sorted(sorted(group) for group in groups.values())


def kept_of(
    edges: Iterable[tuple[str, str]], scores: Mapping[str, float], choice: Choice, seen: Container[str] = ()
) -> dict[str, str]:
    """Returns for each clip of a group the one that the group is named by: it is kept, unless it was seen.

    Args:
      edges: Pairs of clips that are tied.
      scores: Of each clip.
      choice: Which one is kept.
      seen: Clips that are too near to a reference: they tie others, and none is kept.
    """
    kept: dict[str, str] = {}
    for group in tied(edges):
        candidates = [name for name in group if name not in seen] or group
        chosen = choice.of([(name, scores[name]) for name in candidates])
        kept.update(dict.fromkeys(group, chosen))
    return kept
