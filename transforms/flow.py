"""The two shapes of the graph: one machine streams, many machines shuffle. `pipeline.graph` chooses."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.utils.shared import Shared

from clipscout.transforms.core.web.lanes import Gate, Politeness
from clipscout.transforms.records import Flush, ScoredSegment

#: Where a flow spreads its work, what needs none of the next stage goes around it.
AROUND: Literal["around"] = "around"
Around: TypeAlias = TaggedOutput[Literal["around"], Any]


@dataclass(frozen=True)
class Flow:
    """How records get from one stage to the next; the rows that come out are the same.

    Attributes:
      streams: On one machine a video goes through all stages in one pass, as soon as it is there: nothing between them
        waits for all videos. Otherwise records are shuffled where work has to spread, or where machines differ.
    """

    streams: bool

    def groups(self, politeness: Politeness) -> int:
        """Returns how many groups of lanes there are: a pass has all of them in one."""
        return 1 if self.streams else politeness.groups()

    def lanes(self, politeness: Politeness, group: int) -> int:
        """Returns how many lanes a group has."""
        return politeness.lanes if self.streams else politeness.share(group)

    def around(self, record: Any) -> Any:
        """Returns what a stage yields for a record that needs none of the next: in a pass it keeps its place."""
        return record if self.streams else TaggedOutput(AROUND, record)


class Gates:
    """Gives each step that fetches its gate: in a pass all of them have the same one, so that lanes count once.

    Args:
      flow: How records get from one step to the next.
    """

    def __init__(self, flow: Flow) -> None:
        self.flow, self._shared = flow, Shared()

    def get(self, politeness: Politeness, group: int) -> Gate:
        """Returns the gate of a group of lanes."""
        lanes = self.flow.lanes(politeness, group)
        make = partial(Gate, politeness, lanes)
        return self._shared.acquire(make) if self.flow.streams else make()


@dataclass
class Spread(beam.PTransform):
    """Lets other workers take what follows.

    Attributes:
      flow: In a pass nothing is done.
    """

    flow: Flow

    def expand(self, records: beam.PCollection) -> beam.PCollection:
        """Takes and returns records."""
        return records if self.flow.streams else records | beam.Reshuffle()


@dataclass
class WithoutFlush(beam.PTransform):
    """Leaves out what only a pass has.

    Attributes:
      flow: Only a pass has it.
    """

    flow: Flow

    def expand(self, records: beam.PCollection) -> beam.PCollection:
        """Takes records and Flush, returns the records."""
        return records | beam.Filter(_is_record).with_output_types(Any) if self.flow.streams else records


@dataclass
class OnlyFlush(beam.PTransform):
    """Leaves out every record: nothing goes on from here."""

    def expand(self, records: beam.PCollection) -> beam.PCollection:
        """Takes records, and in a pass Flush; returns the latter."""
        return records | beam.Filter(_is_flush).with_output_types(Any)


def _is_record(record: Any) -> bool:
    return not isinstance(record, Flush)


def _is_flush(record: Any) -> bool:
    return isinstance(record, Flush)


@dataclass
class GatherByContent(beam.PTransform):
    """Brings together what is known of one content.

    Attributes:
      flow: In a pass a group is given on when its last record has come: a content's records follow each other.
    """

    flow: Flow

    def expand(self, records: beam.PCollection) -> beam.PCollection:
        """Takes records with a `content_key`; returns (content key, records) pairs, and in a pass each Flush."""
        if self.flow.streams:
            return records | "Gather" >> beam.ParDo(_GatherInPass())
        return records | "ByContent" >> beam.Map(_by_content).with_output_types(tuple[str, Any]) | beam.GroupByKey()


def _by_content(record: Any) -> tuple[str, Any]:
    return record.content_key, record


class _GatherInPass(beam.DoFn):
    """Groups records that follow each other, within a bundle."""

    def start_bundle(self) -> None:
        self._segments: list[ScoredSegment] = []

    def process(self, record: Any) -> Iterator[tuple[str, Iterable[Any]] | Flush]:
        if isinstance(record, Flush):
            yield record
        elif not isinstance(record, ScoredSegment):
            yield record.content_key, [record]
        else:
            self._segments.append(record)
            if len(self._segments) == record.report.segment.count:
                yield record.content_key, self._segments
                self._segments = []
