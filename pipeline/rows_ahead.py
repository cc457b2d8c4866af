"""The rows of a job before it starts, judged as the job judges them, where they can be read in seconds."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from clipscout.pipeline.closing import beside
from clipscout.pipeline.faults import Fault, of
from clipscout.transforms.core.queries.labels import LabelIndex, OpenLabels
from clipscout.transforms.core.storage import filesystem
from clipscout.transforms.core.storage.matching import match_files
from clipscout.transforms.discovery import path_failure
from clipscout.transforms.failures import Failure, remedy
from clipscout.transforms.queries import label_index, read_rows, with_labels
from clipscout.transforms.records import ActionQuery

MOST_BYTES, MOST_SECONDS = 20_000_000, 3.0
#: How many bad rows are told: where none is good, and where only the check was asked for.
_FAULTS, _SHOWN = 3, 20


@dataclass
class Rows:
    """What was seen of the rows.

    Attributes:
      read: How many were read.
      bad: How many of them cannot be used.
      messages: Why not, of the first of them.
      remedies: What can be done about those whose fault is not in the row itself, each once.
      complete: Whether these were all rows.
      asks_web: Whether one of them asks a site.
      good: Those that can be used, where they were to be kept.
    """

    read: int = 0
    bad: int = 0
    messages: list[str] = field(default_factory=list)
    remedies: list[str] = field(default_factory=list)
    complete: bool = True
    asks_web: bool = False
    good: list[ActionQuery] = field(default_factory=list)

    def faults(self) -> list[Fault]:
        """Returns why a job of these rows need not be started: there is none, or not one of them can be used."""
        if self.complete and not self.read:
            return [of("input", ": there is no row in it")]
        if not self.complete or self.bad < self.read:
            return []
        what = "not one row can be used" if self.read == 1 else f"not one of its {self.read} rows can be used"
        return [of("input", f": {line}") for line in (what, *self.messages[:_FAULTS], *self.remedies)]

    def warning(self) -> list[str]:
        """Returns what to say before a job that leaves some rows out; the job's end tells which and why."""
        if not self.bad:
            return []
        whole = f"{self.read} rows" if self.complete else f"the first {self.read} rows"
        return [f"{self.bad} of {whole} cannot be used; the job goes on with the others (--preflight_only lists them)"]

    def lines(self) -> list[str]:
        """Returns how many rows can be used, and which cannot, for whoever asked for nothing else."""
        if not self.read:
            return ["rows       too many to be judged in seconds"]
        good = f"{self.read - self.bad} of {'' if self.complete else 'the first '}{self.read} can be used"
        more = self.bad - len(self.messages)
        lines = [good, *self.messages, *([f"... and {more} more"] if more else []), *self.remedies]
        return list(beside("rows", lines))


def look(patterns: Sequence[str], labels: tuple[str, ...] | None, with_times: bool = False, keep: bool = False) -> Rows:
    """Judges the rows of all query files, until it takes too long.

    Args:
      patterns: Paths or globs of query files.
      labels: The classifier's labels, none for a zero-shot classifier; None where they are not known.
      with_times: Whether the rows' times count.
      keep: Whether those that can be used are kept.

    Raises:
      StorageError: The storage did not answer.
    """
    rows, deadline = Rows(), time.monotonic() + MOST_SECONDS
    index = None if labels is None else label_index(labels)
    for item in _items(patterns, rows, with_times):
        judged = item if isinstance(item, Failure) else _judged(item, index)
        rows.read += 1
        rows.asks_web |= isinstance(item, ActionQuery) and not item.path
        if isinstance(judged, ActionQuery):
            rows.good += [judged] if keep else []
        else:
            rows.bad += 1
            rows.messages += [judged.message] if len(rows.messages) < _SHOWN else []
            if judged.category == "config" and (cure := remedy(judged.code)) not in rows.remedies:
                rows.remedies.append(cure)
        if time.monotonic() > deadline:
            rows.complete = False
            break
    return rows


def _judged(query: ActionQuery, index: LabelIndex | OpenLabels | None) -> ActionQuery | Failure:
    matched = query if index is None else with_labels(query, index)
    if isinstance(matched, Failure) or not query.path or filesystem.is_remote(query.path):  # a request for each row
        return matched
    return path_failure(query) or matched


def _items(patterns: Sequence[str], rows: Rows, with_times: bool) -> Iterator[ActionQuery | Failure]:
    """Yields the rows of files that are small enough together; notes in `rows` where one is left out."""
    room = MOST_BYTES
    for uri in sorted({uri for pattern in patterns for uri in match_files(pattern)}):
        room -= filesystem.size(uri) or 0
        if room < 0:
            rows.complete = False
            return
        yield from read_rows(uri, with_times)
