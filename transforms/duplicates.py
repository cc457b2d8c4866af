"""DropDuplicates: which clips show the same, or what is to stay unseen, and which of them are kept.

Features are gathered in blocks, which are files: what is shuffled then is names, and no worker holds the features of
more than two blocks. A block is compared with half of the others, or with a part of a reference, by one worker.
"""

import datetime
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.typehints.decorators import no_annotations

from clipscout.transforms.core.duplicates import feature_files, groups, references
from clipscout.transforms.core.duplicates.feature_files import FeatureFileError, FeatureModel, Features
from clipscout.transforms.core.duplicates.groups import Choice
from clipscout.transforms.core.duplicates.references import Reference
from clipscout.transforms.core.duplicates.similarity import Described, Nearest, compare
from clipscout.transforms.core.storage import clip_store, filesystem, kept, naming
from clipscout.transforms.describing import rows_of
from clipscout.transforms.grouping import GroupByVideo, packed, unpacked
from clipscout.transforms.metrics import StageMetrics
from clipscout.transforms.records import DUPLICATES, SEEN, Clip, ClipMatch

_STAGE = "DropDuplicates"
MARK, DROP, OFF = "mark", "drop", "off"
#: Rows of a block; two of them are in memory at once. Features of 1,280 numbers: 20 MB.
BLOCK_ROWS = 4096
_ALL = ""
#: Where each read waits for an answer.
_READERS = 16


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


@dataclass(frozen=True, slots=True)
class Block:
    """A file of features of one action.

    Attributes:
      action: The action.
      uri: The file.
      rows: How many clips it has.
    """

    action: str
    uri: str
    rows: int


@dataclass(frozen=True, slots=True)
class _Work:
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
class _Found:
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


def _block_of(clip: Clip, counts: Mapping[str, int], rows: int) -> tuple[tuple[str, int], bytes]:
    action = clip.span.action
    blocks = -(-counts[action] // rows)
    return (action, int(clip.id, 16) % blocks), packed(clip)


class _WriteBlock(beam.DoFn):
    """Gathers the features of some clips in one file; they lie on storage, so that no shuffle holds them."""

    def __init__(self, output: str, model: FeatureModel) -> None:
        self._output, self._model = output, model

    def process(self, keyed: tuple[tuple[str, int], Iterable[bytes]]) -> Iterator[Block]:
        action, clips = keyed[0][0], {clip.id: clip for clip in unpacked(keyed[1])}  # of a bundle that ran twice once
        named = [clips[name] for name in sorted(clips)]
        what = [f"{clip.id} {clip.sha256} {clip.path} {clip.span.score}" for clip in named]
        name = naming.digest("\n".join(what), 20) + feature_files.ENDING
        uri = filesystem.join(self._model.block_folder(self._output, action), name)
        if not self._is_there(uri):  # else an earlier run had the very same
            with ThreadPoolExecutor(_READERS if filesystem.is_remote(self._output) else 1) as pool:
                stored = list(pool.map(self._stored, named))
            block = rows_of(named, [int(one.frames[0]) for one in stored], [one.vectors[0] for one in stored])
            feature_files.write(uri, self._model, block)
        yield Block(action, uri, len(named))

    def _is_there(self, uri: str) -> bool:
        try:
            return filesystem.exists(uri) and bool(len(feature_files.read(uri, self._model)))
        except FeatureFileError:
            kept.tell_damaged(uri)
            return False

    def _stored(self, clip: Clip) -> Features:
        return feature_files.read(self._model.clip_file(self._output, clip.sha256), self._model)


def bins_of(blocks: Iterable[Block], rows: int) -> list[tuple[str, ...]]:
    """Returns the files of blocks in bins of at most so many rows together, where one alone has no more."""
    bins: list[tuple[int, list[str]]] = []
    for block in sorted(blocks, key=lambda one: one.uri):
        if not bins or bins[-1][0] + block.rows > rows:
            bins.append((0, []))
        count, uris = bins.pop()
        bins.append((count + block.rows, [*uris, block.uri]))
    return [tuple(uris) for _, uris in bins]


def pairs_of(bins: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Yields each bin with about half of the others behind it: each two meet once, and all have as much to do."""
    count = len(bins)
    for place in range(count):
        ahead = (count - 1) // 2 + (count % 2 == 0 and place < count // 2)
        yield tuple(bins[(place + step) % count] for step in range(ahead + 1))


class _Plan(beam.DoFn):
    """Divides what has to be compared for one action, or for all."""

    def __init__(self, output: str, model: FeatureModel, settings: DuplicateSettings) -> None:
        self._output, self._model, self._settings = output, model, settings

    def process(self, keyed: tuple[str, Iterable[Block]]) -> Iterator[_Work]:
        scope, blocks = keyed[0], list(keyed[1])
        bins = bins_of(blocks, self._settings.block_rows)
        for some in pairs_of(bins):
            yield _Work(scope, some)
        todays = {block.uri for block in blocks}
        for reference in self._references(scope):
            for uri in reference.uris:
                if uri not in todays:
                    yield _Work(scope, tuple(bins), replace(reference, uris=(uri,)))

    def _references(self, scope: str) -> Iterator[Reference]:
        for path in self._settings.references:
            yield from references.named(path, self._model)
        for output in references.days_before(self._settings.days, self._settings.date) if self._settings.days else ():
            yield references.earlier(output, self._model, scope, own=False)
        if self._settings.own:
            yield references.earlier(self._output, self._model, scope, own=True)


class _Compare(beam.DoFn):
    def __init__(self, output: str, model: FeatureModel, settings: DuplicateSettings) -> None:
        self._output, self._model, self._settings = output, model, settings
        self._metrics = StageMetrics(_STAGE)

    def process(self, work: _Work) -> Iterator[tuple[str, bytes]]:
        with self._metrics.doing(f"comparing clips of {work.scope or 'all actions'}"):
            found = self._among(work) if work.reference is None else self._with_reference(work, work.reference)
            for one in found:
                yield work.scope, packed(one)

    def _read(self, uris: Iterable[str], *, vectors: bool = True) -> Features:
        return feature_files.joined(feature_files.read(uri, self._model, vectors=vectors) for uri in uris)

    def _among(self, work: _Work) -> Iterator[_Found]:
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

    def _with_reference(self, work: _Work, reference: Reference) -> Iterator[_Found]:
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
            yield self._seen(_described(self._read(uris)), seen, reference)

    def _seen(self, clips: Described, seen: Described, reference: Reference) -> _Found:
        """Returns which clips are too near to an item of a reference, and to which."""
        limit = self._settings.similarity
        while True:
            nearest = Nearest(len(clips))
            compare(clips, seen, np.inf, nearest, Nearest(len(seen)))
            near = np.flatnonzero(nearest.similarity >= limit)
            gone = {name for name in set(nearest.ids[near]) if not _is_there(name, reference)}
            if not gone:
                break
            left = np.array([name not in gone for name in seen.ids])
            if not left.any():
                near = near[:0]
                break
            seen = Described(seen.ids[left], seen.vectors[left])
        found = [filesystem.join(reference.root, name) if reference.root and not reference.own else name
                 for name in nearest.ids[near]]  # fmt: skip
        return _Found((), tuple(clips.ids[near]), tuple(found), tuple(nearest.similarity[near]), seen=True)


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


def _found(edges: Iterable[tuple[str, str]], clips: Described, nearest: Nearest) -> _Found:
    near = np.flatnonzero(nearest.similarity > -np.inf)
    return _Found(
        tuple(edges), tuple(clips.ids[near]), tuple(nearest.ids[near]), tuple(nearest.similarity[near]), seen=False
    )


class _Decide(beam.DoFn):
    """Decides of all clips of one action, or of all, which are kept."""

    def __init__(self, model: FeatureModel, settings: DuplicateSettings) -> None:
        self._model, self._settings = model, settings

    def process(self, keyed: tuple[str, Iterable[bytes]]) -> Iterator[ClipMatch]:
        nearest: dict[str, tuple[float, str]] = {}
        seen: dict[str, tuple[float, str]] = {}
        edges: list[tuple[str, str]] = []
        blocks: list[Block] = []
        for record in unpacked(keyed[1]):
            if isinstance(record, Block):
                blocks.append(record)
                continue
            edges += record.edges
            best = seen if record.seen else nearest
            for name, other, near in zip(record.ids, record.nearest, record.similarity, strict=True):
                best[name] = min(best.get(name, (np.inf, "")), (-near, other))
        clips = feature_files.joined(
            feature_files.read(uri, self._model, vectors=False) for uri in sorted({block.uri for block in blocks})
        )
        scores = dict(zip(clips.ids, map(float, clips.scores), strict=True))
        of_groups = groups.kept_of(edges, scores, self._settings.choice, seen)
        for name, key in sorted(zip(clips.ids, clips.keys, strict=True)):
            yield _match(name, key, of_groups.get(name, ""), nearest.get(name), seen.get(name))


def _match(
    name: str,
    key: str,
    group: str,
    nearest: tuple[float, str] | None,
    seen: tuple[float, str] | None,
) -> ClipMatch:
    left_out_by = SEEN if seen else DUPLICATES if group not in ("", name) else ""
    return ClipMatch(
        key=key,
        id=name,
        left_out_by=left_out_by,
        group=group,
        nearest=nearest[1] if nearest else "",
        nearest_similarity=round(-nearest[0], 6) if nearest else None,
        seen_as=seen[1] if seen else "",
        seen_similarity=round(-seen[0], 6) if seen else None,
        is_described=True,
    )


def not_compared(clip: Clip) -> ClipMatch:
    """Returns what is said of a clip that was not compared: it is kept, unless it was left out before."""
    return ClipMatch(clip.key, clip.id, clip.left_out_by, not_compared=clip.not_compared)


class _Move(beam.DoFn):
    """Brings the files of clips that are left out to a folder of their own, before the manifests name them there."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._metrics = StageMetrics(_STAGE)

    def process(self, keyed: tuple[str, Iterable[bytes]]) -> Iterator[ClipMatch]:
        records = list(unpacked(keyed[1]))
        clips = {record.id: record for record in records if isinstance(record, Clip)}
        for match in {record.id: record for record in records if isinstance(record, ClipMatch)}.values():
            if match.left_out_by:
                clip_store.set_aside(self._output, clips[match.id])
                self._metrics.count("dropped-clips")
            yield match


@dataclass
class WriteBlocks(beam.PTransform):
    """Writes features to files of some thousand of one action each: what is compared, by this run and by later ones.

    Attributes:
      output: The output folder.
      model: What made the features.
      rows: Most rows of a file, about.
    """

    output: str
    model: FeatureModel
    rows: int = BLOCK_ROWS

    def expand(self, clips: beam.PCollection) -> beam.PCollection:
        """Takes clips whose features are stored, returns Block."""
        counts = clips | "Actions" >> beam.Map(_action_of) | "CountClips" >> beam.combiners.Count.PerElement()
        return (
            clips
            | "Block" >> beam.Map(_block_of, beam.pvalue.AsDict(counts), self.rows)
            | "ByBlock" >> beam.GroupByKey()
            | "WriteBlock" >> beam.ParDo(_WriteBlock(self.output, self.model))
        )


@dataclass
class DropDuplicates(beam.PTransform):
    """Says of each clip what it is like, and whether it is kept: one clip of each group of near-equal ones.

    Attributes:
      output: The output folder.
      settings: What counts as the same.
      model: What describes the clips.
    """

    output: str
    settings: DuplicateSettings
    model: FeatureModel

    @no_annotations  # Beam knows no tuples of collections
    def expand(self, inputs: tuple[beam.PCollection, beam.PCollection, beam.PCollection]) -> beam.PCollection:
        """Takes all clips, those that are described, and those that are not; returns a ClipMatch for each."""
        clips, described, apart = inputs
        settings = self.settings
        blocks = described | "WriteBlocks" >> WriteBlocks(self.output, self.model, settings.block_rows)
        scoped = blocks | "Scope" >> beam.Map(_scoped, settings.all_actions)
        found = (
            scoped
            | "ByScope" >> beam.GroupByKey()
            | "Plan" >> beam.ParDo(_Plan(self.output, self.model, settings))
            | "SpreadWork" >> beam.Reshuffle()
            | "Compare" >> beam.ParDo(_Compare(self.output, self.model, settings))
        )
        packed_blocks = scoped | "Pack" >> beam.MapTuple(_packed)
        matched = (
            (found, packed_blocks)
            | "Join" >> beam.Flatten()
            | "ByScopeAgain" >> beam.GroupByKey()
            | "Decide" >> beam.ParDo(_Decide(self.model, settings))
        )
        matches = (matched, apart | "NotCompared" >> beam.Map(not_compared)) | "All" >> beam.Flatten()
        if settings.mode != DROP:
            return matches
        return (matches, clips) | "WithClips" >> GroupByVideo() | "SetAside" >> beam.ParDo(_Move(self.output))


def _action_of(clip: Clip) -> str:
    return clip.span.action


def _scoped(block: Block, all_actions: bool) -> tuple[str, Block]:
    return _ALL if all_actions else block.action, block


def _packed(scope: str, block: Block) -> tuple[str, bytes]:
    return scope, packed(block)
