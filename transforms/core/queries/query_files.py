"""Query files: JSON Lines, CSV and TSV, plain or gzip, UTF-8 or UTF-16 with its mark, read line by line.

A bad line becomes a Failure that names file and line; the lines after it are read as if it were not there. A JSON array
is read as a whole, and what counts is the place of a row in it.
"""

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

from clipscout.transforms.core.queries import spreadsheets
from clipscout.transforms.core.queries.columns import COLUMNS, RowError, to_query
from clipscout.transforms.core.storage import strict_json
from clipscout.transforms.failures import Failure
from clipscout.transforms.records import ActionQuery

FORMATS = {".jsonl": "json", ".ndjson": "json", ".json": "json", ".csv": ",", ".tsv": "\t"}
_MAX_LINE_BYTES = 1 << 20
_MAX_LINES_PER_RECORD = 100
_MAX_ARRAY_BYTES = 64 << 20
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
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
    """Yields the lines of a text, gzip or plain, UTF-8 or UTF-16; bytes that are no such text are replaced."""
    binary = _unpacked(stream)
    yield from io.TextIOWrapper(binary, "utf-16" if _is_utf16(binary) else "utf-8-sig", errors="replace")


def _unpacked(stream: io.BufferedReader) -> io.BufferedReader:
    packed = stream.peek(2).startswith(b"\x1f\x8b")
    return io.BufferedReader(gzip.GzipFile(fileobj=stream)) if packed else stream


def _is_utf16(stream: io.BufferedReader) -> bool:
    return stream.peek(2).startswith(_UTF16)


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
    except (OSError, EOFError, zlib.error, UnicodeError) as error:
        message = f"{name}: cannot be read after line {lines.number}: {error}"
        yield Failure(_STAGE, "unreadable_queries", message, row=f"{name}:{lines.number}")
    yield from lines.take_failures()


class _Lines:
    """Decoded physical lines with their numbers, and room to hand some back."""

    def __init__(self, stream: io.BufferedReader, name: str) -> None:
        self._stream, self._name = _unpacked(stream), name
        self._binary: io.BufferedReader | _Utf16 | None = None
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

    def begin_an_array(self) -> bool:
        """Tells whether the text is a JSON array, and not one JSON object per line; nothing is read."""
        start = self._stream.peek(1)
        text = start.decode("utf-16" if _is_utf16(self._stream) else "utf-8-sig", errors="ignore").lstrip()
        if not text.startswith("["):
            return False
        try:
            value = json.loads(text.partition("\n")[0])
        except (ValueError, RecursionError):
            return True
        return isinstance(value, list) and all(isinstance(row, dict) for row in value)

    def rest(self, most: int) -> str:
        """Returns the whole text.

        Raises:
          OSError: It has more bytes than `most`.
          UnicodeError: It is no text.
        """
        content = self._stream.read(most + 1)
        if len(content) > most:
            raise OSError(f"a JSON array of more than {most >> 20} MB; write one object per line")
        return content.decode("utf-16" if content.startswith(_UTF16) else "utf-8-sig")

    def next(self) -> tuple[int, str] | None:
        """Returns the number and text of the next readable line, or None at the end."""
        if self._returned:
            return self._returned.popleft()
        if self._binary is None:  # not before somebody reads, who knows what to do about damage
            self._binary = _Utf16(self._stream) if _is_utf16(self._stream) else self._stream
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


class _Utf16:
    """The lines of a UTF-16 text in UTF-8; what is no character there is none here either."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._text = io.TextIOWrapper(stream, "utf-16", errors="surrogatepass", newline="\n")

    def readline(self, most: int) -> bytes:
        return self._text.readline(most).encode(errors="surrogatepass")


_SEPARATORS = (",", ";", "\t", "|")
#: Excel's own line before the header. What follows tells the separator as well.
_EXCELS_SEPARATOR = re.compile(r'"?sep=."?\s*', re.IGNORECASE)


def says_nothing(line: str) -> bool:
    """Tells whether a line before the header is empty, or Excel's own."""
    return not line.strip() or _EXCELS_SEPARATOR.fullmatch(line) is not None


def separator(header: str, usual: str, known: Collection[str]) -> str:
    """Returns what separates the columns of a header: the usual, or what alone makes one of the known names of it."""

    def names_any(other: str) -> bool:
        return any(name.strip().strip('"').strip().lower() in known for name in header.split(other))

    return next((other for other in (usual, *_SEPARATORS) if names_any(other)), usual)


_Records = Iterator[tuple[int, dict[str, Any] | RowError]]


def _json_records(lines: _Lines) -> _Records:
    if lines.begin_an_array():
        yield from _array_records(lines.rest(_MAX_ARRAY_BYTES))
        return
    while (item := lines.next()) is not None:
        number, text = item
        if not text.strip():
            continue
        try:
            value = strict_json.loads(text)
        except ValueError as error:
            yield number, RowError(f"not JSON: {error}")
            continue
        yield number, value if isinstance(value, dict) else RowError("not a JSON object")


def _array_records(text: str) -> _Records:
    try:
        rows = strict_json.loads(text, deepest=strict_json.DEEPEST + 1)
    except ValueError as error:
        yield 1, RowError(f"not a JSON array, so that no row of this file can be read: {error}")
        return
    for number, value in enumerate(rows, start=1):
        yield number, value if isinstance(value, dict) else RowError("not a JSON object")


def _delimited_records(delimiter: str) -> Callable[[_Lines], _Records]:
    def records(lines: _Lines) -> _Records:
        header: list[str] | None = None
        first = lines.next()
        while first and says_nothing(first[1]):
            first = lines.next()
        lines.give_back([first] if first else [])
        between = separator(first[1], delimiter, COLUMNS) if first else delimiter
        while (item := _next_record(lines, between)) is not None:
            number, cells = item
            if header is None and (why := _header_fault(cells, lines)):
                yield number, RowError(f"the header cannot be read{why}, and without it no row of this file")
                return
            if isinstance(cells, RowError):
                yield number, cells
            elif not any(cell.strip() for cell in cells):
                continue
            elif header is None:
                header = [cell.strip() for cell in cells]
            else:
                yield number, _by_name(header, cells)

    return records


def _header_fault(cells: list[str] | RowError, lines: _Lines) -> str:
    """Returns what is wrong with a header; nothing where it can be used."""
    if isinstance(cells, RowError):
        return f" ({cells})"
    if any("\0" in cell for cell in cells):
        return " (it holds zeros, as UTF-16 without its mark and UTF-32 do; save the file as UTF-8)"
    return " (it is not UTF-8)" if lines.has_failed else ""


def _by_name(header: list[str], cells: list[str]) -> dict[str, Any] | RowError:
    """Returns a row's cells by the names of their columns; spreadsheets leave empty columns behind the last one."""
    if any(cell.strip() for cell in cells[len(header) :]):
        return RowError(f"{len(cells)} cells where the header has {len(header)}")
    named: dict[str, Any] = {}
    for name, cell in zip(header, map(spreadsheets.plain, cells), strict=False):
        if cell.strip() and named.get(name, "").strip() and cell != named[name]:
            return RowError(f"the header has two columns {name!r}, and in this row they differ")
        named[name] = named.get(name) or cell
    if named.pop("", "").strip():
        return RowError("a cell stands in a column without a name")
    return named


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
