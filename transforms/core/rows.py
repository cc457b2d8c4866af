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
from urllib.parse import urlsplit

from transforms.core import naming
from transforms.failures import Failure
from transforms.records import ActionQuery

FORMATS = {".jsonl": "json", ".ndjson": "json", ".json": "json", ".csv": ",", ".tsv": "\t"}
_MAX_LINE_BYTES = 1 << 20
_MAX_LINES_PER_RECORD = 100
_STAGE = "ReadQueries"


class RowError(ValueError):
    """A row that cannot be a query; the message says why in one line."""


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


def to_query(fields: dict[str, Any], row: str) -> ActionQuery:
    """Turns one row's columns into a query.

    Args:
      fields: Column name to value. `label` stands for `action`, `youtube_id` for `url`.
      row: Where the row stands, `file:line`.

    Raises:
      RowError: A value does not fit; the message names the column.
      ValueError: The row has no action, or not exactly one source.
    """
    columns = {str(name).strip(): value for name, value in fields.items() if value not in (None, "")}
    by_folded = {name.lower(): name for name in reversed(columns)}

    def take(*names: str) -> Any:
        for name in names:
            if name in by_folded and columns[by_folded[name]] not in (None, ""):
                return columns.pop(by_folded[name])
        return None

    return ActionQuery(
        action=_text(take("action", "label"), "action"),
        row=row,
        query=_text(take("query"), "query"),
        url=_web_address(_text(take("url", "youtube_id"), "url")),
        path=_text(take("path"), "path"),
        classes=_classes(take("classes")),
        max_videos=_positive_integer(take("max_videos"), "max_videos"),
        extra=columns,
    )


def _text(value: Any, column: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RowError(f"{column} is {value!r}, expected text")
    text = value.strip()
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise RowError(f"{column} holds a control character: {text!r}")
    if len(text) > 2000:
        raise RowError(f"{column} has {len(text)} characters, 2000 at most")
    return text


def _web_address(text: str) -> str:
    if not text:
        return ""
    if naming.is_youtube_id(text):
        return naming.youtube_url(text)
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise RowError(f"url is {text!r}: {error}") from None
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise RowError(f"url is {text!r}, expected http(s)://... or an 11-character YouTube id")
    return text


def _classes(value: Any) -> tuple[str, ...]:
    parts = value.split(";") if isinstance(value, str) else value
    if parts is None:
        return ()
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise RowError(f"classes is {value!r}, expected a list of labels (in CSV separated by ';')")
    return tuple(part.strip() for part in parts if part.strip())


def _positive_integer(value: Any, column: str) -> int | None:
    if value is None:
        return None
    try:
        number = int(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else 0
    except ValueError:
        number = 0
    if number < 1:
        raise RowError(f"{column} is {value!r}, expected a whole number from 1")
    return number
