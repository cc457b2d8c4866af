"""SelectSpans: the best spans over the whole job; what is dropped is counted by rule."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import apache_beam as beam

from clipscout.transforms.core.spans.selecting import Contender, SelectionSettings, select
from clipscout.transforms.core.web.filters import channel_of
from clipscout.transforms.flow import Flow, WithoutFlush
from clipscout.transforms.grouping import GroupByVideo, of_type, only, unpacked
from clipscout.transforms.metrics import StageMetrics
from clipscout.transforms.records import CandidateSpan, VideoSpans


@dataclass(frozen=True)
class _Dropped:
    """A span that a rule drops."""

    key: str
    action: str
    start_seconds: float
    end_seconds: float
    rule: str


def _contenders(proposal: VideoSpans) -> Iterator[tuple[str, Contender]]:
    """Yields (action, contender) pairs."""
    facts = {**proposal.video.request.listed, **proposal.video.facts}
    channel = channel_of(facts, proposal.key)
    for span in proposal.spans:
        yield span.action, Contender(-span.score, span.key, span.start_seconds, span.end_seconds, channel)


def _select(keyed: tuple[str, Iterable[Contender]], settings: SelectionSettings) -> Iterator[_Dropped]:
    """Yields the spans of one action that are dropped."""
    for contender, dropped_by in select(keyed[1], settings):
        if dropped_by:
            yield _Dropped(contender.key, keyed[0], contender.start_seconds, contender.end_seconds, dropped_by)


class _Apply(beam.DoFn):
    """Takes the dropped spans out of a video's."""

    def __init__(self) -> None:
        self._metrics = StageMetrics("SelectSpans")

    def process(self, keyed: tuple[str, Iterable[bytes]]) -> Iterator[VideoSpans]:
        records = list(unpacked(keyed[1]))
        proposal = only(records, VideoSpans)
        assert proposal is not None
        dropped = {(d.action, d.start_seconds, d.end_seconds): d.rule for d in of_type(records, _Dropped)}

        def rule_of(span: CandidateSpan) -> str:
            return dropped.get((span.action, span.start_seconds, span.end_seconds), "")

        kept = tuple(span for span in proposal.spans if not rule_of(span))
        rules = Counter(filter(None, map(rule_of, proposal.spans)))
        self._metrics.count("out-spans", len(kept))
        self._metrics.count("dropped-spans", sum(rules.values()))
        yield replace(proposal, spans=kept, dropped=tuple(sorted(rules.items())))


@dataclass
class SelectSpans(beam.PTransform):
    """Keeps the best spans of each action over all videos.

    Attributes:
      settings: How many; without any cap nothing is shuffled.
      flow: Whether videos stream up to here.
    """

    settings: SelectionSettings
    flow: Flow

    def expand(self, proposals: beam.PCollection) -> beam.PCollection:
        """Takes and returns one VideoSpans per video."""
        if not self.settings:
            return proposals
        proposals = proposals | WithoutFlush(self.flow)
        dropped = (
            proposals
            | "Contenders" >> beam.FlatMap(_contenders)
            | "ByAction" >> beam.GroupByKey()
            | "Select" >> beam.FlatMap(_select, self.settings)
        )
        return (proposals, dropped) | GroupByVideo() | "Apply" >> beam.ParDo(_Apply())
