"""DropDuplicates: which clips show the same, or what is to stay unseen, and which of them are kept."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
from apache_beam.typehints.decorators import no_annotations

from clipscout.transforms.comparing import (
    DROP,
    STAGE,
    Compare,
    DuplicateSettings,
    Plan,
    PlanReferences,
    scope_of,
)
from clipscout.transforms.core.duplicates import feature_files, groups
from clipscout.transforms.core.duplicates.feature_files import FeatureModel
from clipscout.transforms.core.storage import clip_store
from clipscout.transforms.feature_blocks import Block, WriteBlocks
from clipscout.transforms.grouping import GroupByVideo, packed, unpacked
from clipscout.transforms.metrics import StageMetrics
from clipscout.transforms.records import DUPLICATES, SEEN, Clip, ClipMatch


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
        for name, key, action in sorted(zip(clips.ids, clips.keys, clips.actions, strict=True)):
            yield _match(name, key, action, of_groups.get(name, ""), nearest.get(name), seen.get(name))


def _match(
    name: str,
    key: str,
    action: str,
    group: str,
    nearest: tuple[float, str] | None,
    seen: tuple[float, str] | None,
) -> ClipMatch:
    left_out_by = SEEN if seen else DUPLICATES if group not in ("", name) else ""
    return ClipMatch(
        key=key,
        id=name,
        action=action,
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
    return ClipMatch(clip.key, clip.id, clip.span.action, clip.left_out_by, not_compared=clip.not_compared)


class _Move(beam.DoFn):
    """Brings the files of clips that are left out to a folder of their own, before the manifests name them there."""

    def __init__(self, output: str) -> None:
        self._output = output
        self._metrics = StageMetrics(STAGE)

    def process(self, keyed: tuple[str, Iterable[bytes]]) -> Iterator[ClipMatch]:
        records = list(unpacked(keyed[1]))
        clips = {record.id: record for record in records if isinstance(record, Clip)}
        for match in {record.id: record for record in records if isinstance(record, ClipMatch)}.values():
            if match.left_out_by:
                clip_store.set_aside(self._output, clips[match.id])
                self._metrics.count("dropped-clips")
            yield match


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
        scoped = blocks | "Scope" >> beam.Map(_scoped, settings)
        plan = Plan(self.output, self.model, settings)
        work = scoped | "ByScope" >> beam.GroupByKey() | "Plan" >> beam.ParDo(plan)
        if settings.references:
            together = blocks | "Together" >> beam.Map(_together) | "ByNothing" >> beam.GroupByKey()
            more = together | "PlanReferences" >> beam.ParDo(PlanReferences(self.output, self.model, settings))
            work = (work, more) | "AllWork" >> beam.Flatten()
        found = (
            work
            | "SpreadWork" >> beam.Reshuffle()
            | "Compare" >> beam.ParDo(Compare(self.output, self.model, settings))
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


def _scoped(block: Block, settings: DuplicateSettings) -> tuple[str, Block]:
    return scope_of(block.action, settings), block


def _together(block: Block) -> tuple[None, Block]:
    return None, block


def _packed(scope: str, block: Block) -> tuple[str, bytes]:
    return scope, packed(block)
