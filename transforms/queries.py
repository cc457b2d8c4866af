"""ReadQueries: query files to ActionQuery records; MatchLabels: from actions to the classifier's labels."""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.typehints.decorators import no_annotations

from clipscout.transforms.core.queries import excludes, query_files, row_times
from clipscout.transforms.core.queries.labels import LabelIndex, OpenLabels, UnknownLabelError, fold
from clipscout.transforms.core.storage import filesystem
from clipscout.transforms.core.storage.matching import match_files
from clipscout.transforms.failures import Failure
from clipscout.transforms.metrics import StageMetrics
from clipscout.transforms.records import ActionQuery
from clipscout.transforms.tags import FAILURES, Failed, failed


class Queries(NamedTuple):
    """`queries`: ActionQuery; `failures`: Failure."""

    queries: beam.PCollection
    failures: beam.PCollection


def _match_all(_: Any, patterns: tuple[str, ...]) -> list[str]:
    """Matches patterns that preflight saw match: nothing now means a fault, and it must not pass for an empty list."""
    found = {pattern: match_files(pattern) for pattern in patterns}
    for pattern, files in found.items():
        if not files:
            raise filesystem.StorageError(f"{pattern}: no file matches any more", "not_found")
    return sorted({uri for files in found.values() for uri in files})


def read_rows(uri: str, with_times: bool = False) -> Iterator[ActionQuery | Failure]:
    """Yields the queries of one file, local or gs://, with a failure in the place of each bad row.

    Args:
      uri: The file.
      with_times: Whether the rows' times count; then one that is none is a fault.
    """
    try:
        with filesystem.local_copy(uri) as path, filesystem.opened(path) as stream:
            for item in query_files.read(stream, uri):
                yield _with_times(item) if with_times and isinstance(item, ActionQuery) else item
    except (filesystem.StorageError, OSError) as error:
        yield Failure("ReadQueries", "unreadable_queries", f"{uri}: {error}", row=uri)


def _with_times(query: ActionQuery) -> ActionQuery | Failure:
    try:
        row_times.times_of(query.extra)
    except ValueError as error:
        return Failure("ReadQueries", "bad_row", f"{query.row}: {error}", row=query.row, action=query.action)
    return query


class _ReadFile(beam.DoFn):
    def __init__(self, with_times: bool) -> None:
        self._with_times = with_times
        self._metrics = StageMetrics("ReadQueries")

    def process(self, uri: str) -> Iterator[ActionQuery | Failed]:
        for item in read_rows(uri, self._with_times):
            if isinstance(item, Failure):
                self._metrics.count(f"failed-{item.code}")
                yield failed(item)
            else:
                self._metrics.count("out-queries")
                yield item


@dataclass
class ReadQueries(beam.PTransform):
    """Reads all query files that match the patterns.

    Attributes:
      patterns: Paths or globs of JSON Lines, CSV or TSV files, local or gs://, plain or gzip.
      with_times: Whether the rows' times count; see `read_rows`.
    """

    patterns: tuple[str, ...]
    with_times: bool = False

    @no_annotations  # Beam knows no named tuples of collections
    def expand(self, root: beam.Pipeline) -> Queries:
        """Returns the queries, each action in one spelling, and a failure for each bad row."""
        read = (
            root
            | beam.Impulse()
            | "MatchFiles" >> beam.FlatMap(_match_all, self.patterns)
            | "ReadRows" >> beam.ParDo(_ReadFile(self.with_times)).with_outputs(FAILURES, main="queries")
        )
        first = read.queries | "BySpelling" >> beam.Map(spelling) | "FirstSpellings" >> beam.CombinePerKey(min)
        spelled = read.queries | "OneSpelling" >> beam.Map(in_one_spelling, beam.pvalue.AsDict(first))
        return Queries(spelled, read[FAILURES])


def row_order(query: ActionQuery) -> tuple[str, int]:
    """Returns what queries are sorted by: file and line."""
    name, _, line = query.row.rpartition(":")
    return name, int(line) if line.isdecimal() else 0


_Spelling = tuple[tuple[str, int], str]


def spelling(query: ActionQuery) -> tuple[str, _Spelling]:
    """Returns a query's action without case, spaces, `_` and `-`, and its spelling; of two the lesser counts."""
    return fold(query.action) or query.action, (row_order(query), query.action)


def in_one_spelling(query: ActionQuery, first: Mapping[str, _Spelling]) -> ActionQuery:
    """Returns a query with the first row's spelling of its action."""
    action = first[spelling(query)[0]][1]
    return query if query.action == action else replace(query, action=action)


def label_index(labels: tuple[str, ...]) -> LabelIndex | OpenLabels:
    """Returns where labels are found; a zero-shot classifier has none and takes any name."""
    return LabelIndex(labels) if labels else OpenLabels()


def with_labels(query: ActionQuery, index: LabelIndex | OpenLabels) -> ActionQuery | Failure:
    """Returns the query with the labels that count as its action, or the failure of an action that has none."""
    try:
        return replace(query, classes=index.match(query.action, query.classes))
    except UnknownLabelError as error:
        return Failure("MatchLabels", "unknown_label", f"{query.row}: {error}", row=query.row, action=query.action)


class _MatchLabels(beam.DoFn):
    def __init__(self, labels: tuple[str, ...]) -> None:
        self._labels = labels

    def setup(self) -> None:
        self._index = label_index(self._labels)

    def process(self, query: ActionQuery) -> Iterator[ActionQuery | Failed]:
        matched = with_labels(query, self._index)
        yield failed(matched) if isinstance(matched, Failure) else matched


@dataclass
class MatchLabels(beam.PTransform):
    """Fills in the labels that count as each query's action, before anything is downloaded.

    Attributes:
      labels: The classifier's labels in output order; none for a zero-shot classifier, which takes any.
    """

    labels: tuple[str, ...]

    @no_annotations  # Beam knows no named tuples of collections
    def expand(self, queries: beam.PCollection) -> Queries:
        """Returns the queries with `classes` filled, and a failure for each action that cannot be scored."""
        matched = queries | beam.ParDo(_MatchLabels(self.labels)).with_outputs(FAILURES, main="queries")
        return Queries(matched.queries, matched[FAILURES])


def read_excludes(_: Any, patterns: tuple[str, ...]) -> Iterator[tuple[str, None]]:
    """Yields the excluded ids as keys; a file that cannot be read stops the job: it guards somebody's test set."""
    for uri in _match_all(None, patterns):
        with filesystem.local_copy(uri) as path, filesystem.opened(path) as stream:
            try:
                for name in excludes.read(query_files.text_lines(stream), query_files.delimiter_of(uri)):
                    yield name, None
            except (ValueError, EOFError, zlib.error) as error:
                raise filesystem.StorageError(f"--exclude: {uri}: {error}") from None


@dataclass
class ReadExcludes(beam.PTransform):
    """Reads the ids of all exclude files.

    Attributes:
      patterns: Paths or globs of plain files, CSV or TSV, local or gs://, plain or gzip.
    """

    patterns: tuple[str, ...]

    def expand(self, root: beam.Pipeline) -> beam.PCollection:
        """Returns (id, None) pairs: ids, keys of URLs and keys, as `transforms.core.queries.excludes` reads them."""
        return root | beam.Impulse() | "ReadIds" >> beam.FlatMap(read_excludes, self.patterns)
