"""Count: from records to totals by name, added up where the records are and not one by one."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from clipscout.transforms.core.results import highlights
from clipscout.transforms.core.results.highlights import Total


class AddUp(beam.CombineFn):
    """Totals of tallies of one name, whatever their kind; a tally may be a total itself."""

    def create_accumulator(self) -> Total | None:
        """Returns the total of none."""
        return None

    def add_input(self, total: Total | None, value: Any) -> Total:
        """Returns the total with a value more."""
        return highlights.added(total, value)

    def merge_accumulators(self, totals: Iterable[Total | None]) -> Total | None:
        """Returns the total of all."""
        return highlights.merged(totals)

    def extract_output(self, total: Total | None) -> Total | None:
        """Returns it."""
        return total


class _Count(beam.DoFn):
    def __init__(self, tallies: Callable[[Any], Iterable[tuple[str, Any]]]) -> None:
        self._tallies = tallies

    def start_bundle(self) -> None:
        self._totals: dict[str, Total] = {}

    def process(self, record: Any) -> Iterable[tuple[str, Any]]:
        for name, value in self._tallies(record):
            self._totals[name] = highlights.added(self._totals.get(name), value)
        return ()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        yield from map(GlobalWindows.windowed_value, self._totals.items())


@dataclass
class Count(beam.PTransform):
    """Counts what records tell: of a bundle of any size there is one total for each name.

    Attributes:
      tallies: Returns (name, value) pairs of a record, for `transforms.core.results.highlights`.
    """

    tallies: Callable[[Any], Iterable[tuple[str, Any]]]

    def expand(self, records: beam.PCollection) -> beam.PCollection:
        """Returns (name, total) pairs, of a name any number."""
        return records | beam.ParDo(_Count(self.tallies))


def as_it_is(tally: tuple[str, Any]) -> list[tuple[str, Any]]:
    """Returns a tally that was made where its item was, for `Count`."""
    return [tally]
