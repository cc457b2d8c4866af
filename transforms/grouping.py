"""GroupByVideo: everything that is known of one video, together."""

from collections.abc import Iterable
from typing import Any, TypeVar

import apache_beam as beam

_Item = TypeVar("_Item")


def _keyed(record: Any) -> Iterable[tuple[str, Any]]:
    return [(record.key, record)] if record.key else []


class GroupByVideo(beam.PTransform):
    """Joins records of any types by video; records about no video are left out.

    One shuffle whatever the number of types, where CoGroupByKey has steps per type; `of_type` takes a group apart.
    """

    def expand(self, records: beam.PCollection) -> beam.PCollection:
        """Returns (key, records) pairs, in no order."""
        return records | beam.FlatMap(_keyed).with_output_types(tuple[str, Any]) | beam.GroupByKey()


def of_type(records: Iterable[Any], kind: type[_Item]) -> list[_Item]:
    """Returns the records of one type."""
    return [record for record in records if isinstance(record, kind)]


def only(records: Iterable[Any], kind: type[_Item]) -> _Item | None:
    """Returns a record of one type or None; a bundle that ran twice may give the same one again."""
    return next((record for record in records if isinstance(record, kind)), None)
