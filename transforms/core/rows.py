"""Query files: JSON Lines, CSV and TSV, plain or gzip, UTF-8 with or without BOM, read line by line.

A bad line becomes a Failure that names file and line; the lines after it are read as if it were not there.
"""

import csv
import gzip
import io
import json
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from transforms.core.columns import COLUMNS, RowError, to_query
from transforms.failures import Failure
from transforms.records import ActionQuery

FORMATS = {".jsonl": "json", ".ndjson": "json", ".json": "json", ".csv": ",", ".tsv": "\t"}
_MAX_LINE_BYTES = 1 << 20
_MAX_LINES_PER_RECORD = 100
_STAGE = "ReadQueries"


def format_of(name: str) -> str | None:
    """Returns `json` or the CSV delimiter that the file name stands for (`.gz` ignored), or None."""
    path = PurePosixPath(name.lower())
    if path.suffix == ".gz":
        path = path.with_suffix("")
    return FORMATS.get(path.suffix)


def delimiter_of(name: str) -> str | None:
    """Returns the delimiter of a CSV or TSV file name, None for any other name."""
    row_format = format_of(name)
    return None if row_format == "json" else row_format


def text_lines(stream: io.BufferedReader) -> Iterator[str]:
    """Yields the lines of a UTF-8 text, gzip or plain, with or without BOM; bytes that are not UTF-8 are replaced."""
    binary: Any = gzip.GzipFile(fileobj=stream) if _is_gzip(stream) else stream
    yield from io.TextIOWrapper(binary, "utf-8-sig", errors="replace")


def _is_gzip(stream: io.BufferedReader) -> bool:
    return stream.peek(2).startswith(b"\x1f\x8b")


def read(stream: io.BufferedReader, name: str) -> Iterator[ActionQuery | Failure]:
    """Yields the queries of one file, in order, with a Failure in the place of each bad line.

    Args:
      stream: The file's bytes, gzip or plain (told by the content).
      name: The file's URI, for the format and for messages.
    """
    row_format = format_of(name)
    if row_format is None:
        yield Failure(_STAGE, "unreadable_queries", f"{name}: expected one of {', '.join(FORMATS)}", row=name)
        return
    lines = _Lines(stream, name)
    parse = _json_records if row_format == "json" else _delimited_records(row_format)
    try:
        for line_number, fields in parse(lines):
            yield from lines.take_failures()
            row = f"{name}:{line_number}"
            try:
                if isinstance(fields, RowError):
                    raise fields
                yield to_query(fields, row)
            except (RowError, ValueError) as error:
                yield Failure(_STAGE, "bad_row", f"{row}: {error}", row=row)
    except (OSError, EOFError, zlib.error) as error:
        message = f"{name}: cannot be read after line {lines.number}: {error}"
        yield Failure(_STAGE, "unreadable_queries", message, row=f"{name}:{lines.number}")
    yield from lines.take_failures()


class _Lines:
    """Decoded physical lines with their numbers, and room to hand some back."""

    def __init__(self, stream: io.BufferedReader, name: str) -> None:
        self._binary: Any = gzip.GzipFile(fileobj=stream) if _is_gzip(stream) else stream
        self._name = name
        self._returned: deque[tuple[int, str]] = deque()
        self._failures: list[Failure] = []
        self.number = 0

    def take_failures(self) -> list[Failure]:
        taken, self._failures = self._failures, []
        return taken

    @property
    def has_failed(self) -> bool:
        """Whether a line was left out that nobody has been told of yet."""
        return bool(self._failures)

    def give_back(self, lines: Sequence[tuple[int, str]]) -> None:
        self._returned.extendleft(reversed(lines))

    def next(self) -> tuple[int, str] | None:
        """Returns the number and text of the next readable line, or None at the end."""
        if self._returned:
            return self._returned.popleft()
        while raw := self._binary.readline(_MAX_LINE_BYTES + 1):
            self.number += 1
            if self.number == 1 and raw.startswith(b"\xef\xbb\xbf"):
                raw = raw[3:]
            row = f"{self._name}:{self.number}"
            if len(raw) > _MAX_LINE_BYTES:
                while raw and not raw.endswith(b"\n"):
                    raw = self._binary.readline(_MAX_LINE_BYTES)
                message = f"{row}: a line of more than {_MAX_LINE_BYTES} bytes"
                self._failures.append(Failure(_STAGE, "bad_row", message, row=row))
                continue
            try:
                return self.number, raw.decode("utf-8")
            except UnicodeDecodeError as error:
                message = f"{row}: not UTF-8: {error.reason} at byte {error.start + 1} of the line"
                self._failures.append(Failure(_STAGE, "bad_encoding", message, row=row))
        return None


#: What may stand between columns -> how to tell of it, and what to do.
_SEPARATORS = {
    ",": "',' in a .csv file: save it with commas",
    "\t": "tabs in a .tsv file: save it with tabs, or name it .csv if it has commas",
}
_OTHER_SEPARATORS = {";": "';'", ",": "','", "\t": "tabs", "|": "'|'"}


def _other_delimiter(header: str, delimiter: str) -> str:
    """Returns what separates the columns of a header that names one of ours only if it is split by that; or nothing."""

    def names_ours(separator: str) -> bool:
        return any(name.strip().strip('"').lower() in COLUMNS for name in header.split(separator))

    if names_ours(delimiter):
        return ""
    return next((told for other, told in _OTHER_SEPARATORS.items() if other in header and names_ours(other)), "")


_Records = Iterator[tuple[int, dict[str, Any] | RowError]]


def _json_records(lines: _Lines) -> _Records:
    while (item := lines.next()) is not None:
        number, text = item
        if not text.strip():
            continue
        try:
            value = json.loads(text)
            json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair cannot be written again
        except (ValueError, RecursionError) as error:
            yield number, RowError(f"not JSON: {error}")
            continue
        yield number, value if isinstance(value, dict) else RowError("not a JSON object")


def _delimited_records(delimiter: str) -> Callable[[_Lines], _Records]:
    def records(lines: _Lines) -> _Records:
        header: list[str] | None = None
        first = lines.next()
        while first and not first[1].strip():
            first = lines.next()
        lines.give_back([first] if first else [])
        if first and (other := _other_delimiter(first[1], delimiter)):
            yield first[0], RowError(f"its columns are separated by {other}, expected {_SEPARATORS[delimiter]}")
            return
        while (item := _next_record(lines, delimiter)) is not None:
            number, cells = item
            if header is None and (isinstance(cells, RowError) or lines.has_failed):
                yield number, RowError("the header cannot be read, and without it no row of this file")
                return
            if isinstance(cells, RowError):
                yield number, cells
            elif not any(cell.strip() for cell in cells):
                continue
            elif header is None:
                header = [cell.strip() for cell in cells]
            elif len(cells) > len(header):
                yield number, RowError(f"{len(cells)} cells where the header has {len(header)}")
            else:
                yield number, dict(zip(header, cells, strict=False))

    return records


def _next_record(lines: _Lines, delimiter: str) -> tuple[int, list[str] | RowError] | None:
    """Reads one CSV record; an unbalanced quote costs its own line, not the rest of the file."""
    first = lines.next()
    if first is None:
        return None
    taken = [first]
    while True:
        try:
            rows = list(csv.reader([text for _, text in taken], delimiter=delimiter, strict=True))
            return first[0], rows[0] if rows else []
        except csv.Error as error:
            more = lines.next() if "unexpected end of data" in str(error) else None
            if more is None or len(taken) >= _MAX_LINES_PER_RECORD:
                lines.give_back(taken[1:] + ([more] if more else []))
                return first[0], RowError(f"not valid CSV: {error}")
            taken.append(more)
