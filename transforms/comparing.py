"""The pairs of clips that show the same: which worker compares what, and what it tells.

What is shuffled is names of files: no worker holds the features of more than two blocks. A block is compared with half
of the others, or with a part of a reference, by one worker.
"""

import datetime
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import apache_beam as beam
import numpy as np

from clipscout.transforms.core.duplicates import feature_files, references
from clipscout.transforms.core.duplicates.feature_files import FeatureFileError, FeatureModel, Features
from clipscout.transforms.core.duplicates.groups import Choice
from clipscout.transforms.core.duplicates.references import Reference
from clipscout.transforms.core.duplicates.similarity import Described, Nearest, compare
from clipscout.transforms.core.storage import filesystem, kept
from clipscout.transforms.feature_blocks import BLOCK_ROWS, READERS, Block, bins_of, pairs_of
from clipscout.transforms.grouping import packed
from clipscout.transforms.metrics import StageMetrics

STAGE = "DropDuplicates"
MARK, DROP, OFF = "mark", "drop", "off"
_ALL = ""


@dataclass(frozen=True)
class DuplicateSettings:
    """Which clips count as the same, and what becomes of them.

    Attributes:
      mode: `mark`: manifests say which clips are duplicates; `drop`: these leave the manifests too; `off`: nothing is
        compared.
      similarity: The least cosine of two clips that show the same.
      all_actions: Whether clips of different actions are compared too.
      choice: Which clip of a group is kept.
      one_per_video: Whether a video gives one clip only.
      references: What must stay unseen, as `--reference` names it.
      days: The output of a daily job with `{date}` in the date's place; empty for others.
      date: The day of this run.
      own: Whether what the output itself has from earlier runs is held against new clips.
      block_rows: Rows of a block.
    """

    mode: str
    similarity: float
    all_actions: bool = False
    choice: Choice = field(default_factory=Choice)
    one_per_video: bool = False
    references: tuple[str, ...] = ()
    days: str = ""
    date: datetime.date = datetime.date.max
    own: bool = True
    block_rows: int = BLOCK_ROWS


def scope_of(action: str, settings: DuplicateSettings) -> str:
    """Returns among what the clips of an action are compared: among their own, or among all."""
    return _ALL if settings.all_actions else action


@dataclass(frozen=True, slots=True)
class Work:
    """What one worker compares: a bin of blocks with other bins of the run, or a reference with all of them.

    Attributes:
      scope: The action, or nothing for all.
      bins: The blocks of the run; of those that are compared with each other the first is compared with each.
      reference: Compared with all bins; None where these are compared with each other.
    """

    scope: str
    bins: tuple[tuple[str, ...], ...]
    reference: Reference | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Found:
    """What comparing gave.

    Attributes:
      edges: Pairs of clips that are tied: a forest.
      ids, nearest, similarity: For each of some clips the nearest that was seen.
      seen: Whether the nearest are of a reference; only those too near are told then.
    """

    edges: tuple[tuple[str, str], ...]
    ids: tuple[str, ...]
    nearest: tuple[str, ...]
    similarity: tuple[float, ...]
    seen: bool


class Plan(beam.DoFn):
    """Divides what has to be compared for one action, or for all: with each other, and with what earlier runs have."""

    def __init__(self, output: str, model: FeatureModel, settings: DuplicateSettings) -> None:
        self._output, self._model, self._settings = output, model, settings

    def process(self, keyed: tuple[str, Iterable[Block]]) -> Iterator[Work]:
        """Takes the blocks of an action, or of all."""
        scope, blocks = keyed[0], list(keyed[1])
        bins = bins_of(blocks, self._settings.block_rows)
        for some in pairs_of(bins):
            yield Work(scope, some)
        todays = {block.uri for block in blocks}
        for reference in self._references(scope):
            for uri in reference.uris:
                if uri not in todays:
                    yield Work(scope, tuple(bins), replace(reference, uris=(uri,)))

    def _references(self, scope: str) -> Iterator[Reference]:
        for output in references.days_before(self._settings.days, self._settings.date) if self._settings.days else ():
            yield references.earlier(output, self._model, scope, own=False)
        if self._settings.own:
            yield references.earlier(self._output, self._model, scope, own=True)


class PlanReferences(beam.DoFn):
    """Divides what has to be compared with references, whatever the action: small blocks are read together."""

    def __init__(self, output: str, model: FeatureModel, settings: DuplicateSettings) -> None:
        self._model, self._settings = model, settings
        self._own = filesystem.join(filesystem.absolute(model.block_folder(output)), "")

    def process(self, keyed: tuple[Any, Iterable[Block]]) -> Iterator[Work]:
        """Takes all blocks; what is the output's own is no reference twice."""
        bins = tuple(bins_of(keyed[1], self._settings.block_rows))
        for path in self._settings.references:
            for reference in references.named(path, self._model):
                for uri in reference.uris:
                    if filesystem.absolute(uri).startswith(self._own):
                        continue
                    yield Work(_ALL, bins, replace(reference, uris=(uri,)))


class Compare(beam.DoFn):
    """Compares what one worker is to compare."""

    def __init__(self, output: str, model: FeatureModel, settings: DuplicateSettings) -> None:
        self._output, self._model, self._settings = output, model, settings
        self._metrics = StageMetrics(STAGE)

    def process(self, work: Work) -> Iterator[tuple[str, bytes]]:
        """Returns by action, or for all, what was found, packed."""
        with self._metrics.doing(f"comparing clips of {work.scope or 'all actions'}"):
            if work.reference is not None:
                yield from self._with_reference(work, work.reference)
                return
            for one in self._among(work):
                yield work.scope, packed(one)

    def _read(self, uris: Iterable[str], *, vectors: bool = True) -> Features:
        return feature_files.joined(feature_files.read(uri, self._model, vectors=vectors) for uri in uris)

    def _among(self, work: Work) -> Iterator[Found]:
        first, edges = _described(self._read(work.bins[0])), []
        nearest = Nearest(len(first))
        for place, uris in enumerate(work.bins):
            other = _described(self._read(uris)) if place else first
            others = Nearest(len(other)) if place else nearest
            edges += compare(first, other, self._settings.similarity, nearest, others)
            self._metrics.count("pairs", len(first) * (len(other) if place else len(first) - 1) // (1 if place else 2))
            if place:
                yield _found((), other, others)
        yield _found(edges, first, nearest)

    def _with_reference(self, work: Work, reference: Reference) -> Iterator[tuple[str, bytes]]:
        (uri,) = reference.uris
        try:
            held = feature_files.read(uri, self._model)
        except filesystem.StorageError as error:
            if reference.own and error.code == "not_found":
                return  # all of it is in this run again, as an attempt at this found that was cut short
            raise
        except FeatureFileError:
            if not reference.checked:
                raise
            kept.tell_damaged(uri)  # what was asked for by name has to be whole, what happens to be there has not
            return
        if reference.own:
            todays = {name for uris in work.bins for name in self._read(uris, vectors=False).ids}
            others = [place for place, name in enumerate(held.ids) if name not in todays]
            if not others:
                filesystem.delete(uri)  # this run's blocks have all of it
                return
            held = feature_files.chosen(held, others)
        names = np.array(_unique(held.clips), object)
        order = np.argsort(names)
        seen = Described(names[order], held.vectors[order])
        for uris in work.bins:
            clips = self._read(uris)
            scopes = dict(zip(clips.ids, (scope_of(action, self._settings) for action in clips.actions), strict=True))
            by_scope: dict[str, list[tuple[str, str, float]]] = {}
            for near in self._seen(_described(clips), seen, reference):
                by_scope.setdefault(scopes[near[0]], []).append(near)
            for scope, some in by_scope.items():
                ids, seen_as, similarity = zip(*some, strict=True)
                yield scope, packed(Found((), ids, seen_as, similarity, seen=True))

    def _seen(self, clips: Described, seen: Described, reference: Reference) -> list[tuple[str, str, float]]:
        """Returns which clips are too near to an item of a reference, to which, and how near."""
        nearest, near = self._near(clips, seen)
        if not all(_is_there(name, reference) for name in set(nearest.ids[near])):
            with ThreadPoolExecutor(READERS) as pool:
                there = np.array(list(pool.map(partial(_is_there, reference=reference), seen.ids)))
            nearest, near = self._near(clips, Described(seen.ids[there], seen.vectors[there]))
        prefix = "" if reference.own else reference.root
        names = [filesystem.join(prefix, name) if prefix else name for name in nearest.ids[near]]
        return list(zip(clips.ids[near], names, map(float, nearest.similarity[near]), strict=True))

    def _near(self, clips: Described, seen: Described) -> tuple[Nearest, np.ndarray]:
        """Returns the nearest item of each clip, and the places of the clips that are too near to theirs."""
        nearest = Nearest(len(clips))
        compare(clips, seen, np.inf, nearest, Nearest(len(seen)))
        return nearest, np.flatnonzero(nearest.similarity >= self._settings.similarity)


def _is_there(name: str, reference: Reference) -> bool:
    """Tells whether a clip that an output had is there still: one that was removed can be had again."""
    return not reference.checked or filesystem.exists(filesystem.resolve(reference.root, name))


def _unique(names: Sequence[str]) -> list[str]:
    """Returns names, each once: files of the user's own may hold one twice."""
    counts: Counter[str] = Counter()
    found = []
    for name in names:
        counts[name] += 1
        found.append(name if counts[name] == 1 else f"{name} ({counts[name]})")
    return found


def _described(features: Features) -> Described:
    order = np.argsort(np.array(features.ids, object))
    return Described([features.ids[place] for place in order], features.vectors[order])


def _found(edges: Iterable[tuple[str, str]], clips: Described, nearest: Nearest) -> Found:
    near = np.flatnonzero(nearest.similarity > -np.inf)
    return Found(
        tuple(edges), tuple(clips.ids[near]), tuple(nearest.ids[near]), tuple(nearest.similarity[near]), seen=False
    )
