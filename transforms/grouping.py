"""GroupByVideo: everything that is known of one video, together."""

import pickle
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import apache_beam as beam
from apache_beam.typehints.decorators import no_annotations

from clipscout.transforms.core.results.manifests import video_row
from clipscout.transforms.core.storage import naming
from clipscout.transforms.failures import Failure
from clipscout.transforms.records import Ask, VideoRequest

_Item = TypeVar("_Item")


def packed(record: Any) -> bytes:
    """Returns a record as it goes through a shuffle; `unpacked` makes records of what comes out.

    A shuffle may hold all that it is given, several times over: so it is a tenth of the record's own memory.
    """
    deflate = zlib.compressobj(1, zdict=_USUAL)
    return deflate.compress(pickle.dumps(record, pickle.HIGHEST_PROTOCOL)) + deflate.flush()


def unpacked(values: Iterable[bytes]) -> Iterator[Any]:
    """Yields the records that `packed` made these of."""
    for value in values:
        content = zlib.decompressobj(zdict=_USUAL).decompress(value)
        yield pickle.loads(content)  # noqa: S301 - the job's own, as Beam would have pickled it


def _usual() -> bytes:
    """Returns what most packed records hold: names of classes and fields, and what is the same in most."""
    address = naming.youtube_url("")
    ask = Ask("an action", ("an action",), "queries.csv:100000", query=address, extra={"time_start": "", "split": ""})
    request = VideoRequest("youtube-", (ask,), url=address)
    failure = Failure("FindVideos", "excluded", f"{address}: named by an exclude file", key="youtube-")
    rows = video_row(request, None, None, 0, failure), failure.to_row()
    records = *(((row["key"],), tuple(row.values())) for row in rows), failure, request
    return b"".join(pickle.dumps(record, pickle.HIGHEST_PROTOCOL) for record in records)


#: The last is found fastest, and takes the fewest bytes to name.
_USUAL = _usual()


def _keyed(record: Any) -> Iterable[tuple[str, bytes]]:
    return [(record.key, packed(record))] if record.key else []


class GroupByVideo(beam.PTransform):
    """Joins records of any types by video; records about no video are left out.

    One shuffle whatever the number of types, where CoGroupByKey has steps per type; `of_type` takes a group apart.
    """

    @no_annotations  # Beam knows no tuples of collections
    def expand(self, records: Sequence[beam.PCollection]) -> beam.PCollection:
        """Takes collections of records; returns (key, records) pairs, in no order; the records are `packed`."""
        keyed = [
            some | f"Key{number}" >> beam.FlatMap(_keyed).with_output_types(tuple[str, bytes])
            for number, some in enumerate(records)
        ]
        return keyed | "Join" >> beam.Flatten() | beam.GroupByKey()


def of_type(records: Iterable[Any], kind: type[_Item]) -> list[_Item]:
    """Returns the records of one type."""
    return [record for record in records if isinstance(record, kind)]


def only(records: Iterable[Any], kind: type[_Item]) -> _Item | None:
    """Returns a record of one type or None; a bundle that ran twice may give the same one again."""
    return next((record for record in records if isinstance(record, kind)), None)
