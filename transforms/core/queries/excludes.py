"""Exclude files: ids, keys or URLs of videos that must never be fetched, e.g. an existing test set."""

import csv
import re
from collections.abc import Container, Iterable, Iterator
from itertools import chain, dropwhile

from clipscout.transforms.core.queries import query_files, spreadsheets
from clipscout.transforms.core.web import addresses

_ID_COLUMNS = ("youtube_id", "video_id", "key", "url", "id")
#: What keys and ids are made of, as `naming.web_key` writes them; anything else would exclude nothing.
_ID = re.compile(r"[0-9A-Za-z_-]+")


def read(lines: Iterable[str], delimiter: str | None) -> Iterator[str]:
    """Yields the excluded ids of one file.

    Args:
      lines: Its text.
      delimiter: Of a CSV or TSV file, whose header has one of the columns youtube_id, video_id, key, url and id (the
        first of these counts; one of a single column needs no header); None for a plain file with one id per line,
        where a line that begins with `#` is a comment.

    Raises:
      ValueError: The file, or a line, is none that names videos: who excludes them must not find them all the same.
    """
    for number, text in _cells(lines, delimiter):
        if not (addresses.is_web(text) or _ID.fullmatch(text)):
            raise ValueError(f"line {number}: {text[:80]!r} is no id, key or http(s) address of a video")
        yield normal(text)


def _cells(lines: Iterable[str], delimiter: str | None) -> Iterator[tuple[int, str]]:
    """Yields what stands where the ids are, each with the number of its line."""
    if delimiter is None:
        for number, line in enumerate(lines, start=1):
            if (text := line.strip()) and not text.startswith("#"):
                yield number, text
        return
    numbered = dropwhile(lambda item: query_files.says_nothing(item[1]), enumerate(lines, start=1))
    before, first = next(numbered, (1, ""))
    between = query_files.separator(first, delimiter, _ID_COLUMNS)
    table = csv.reader(chain([first], (line for _, line in numbered)), delimiter=between, strict=True)
    try:
        header = next(table, [])
        names = [cell.strip().strip('"').strip().lower() for cell in header]
        column = next((names.index(name) for name in _ID_COLUMNS if name in names), None)
        if column is None and len(names) > 1:
            raise ValueError(f"line {before}: none of the {len(names)} columns is {', '.join(_ID_COLUMNS)}")
        for cells in chain([] if column is not None else [header], table):
            if text := spreadsheets.plain("".join(cells[column or 0 :][:1]).strip()):
                yield before + table.line_num - 1, text
    except csv.Error as error:
        raise ValueError(f"line {before + table.line_num - 1}: not valid CSV: {error}") from None


def normal(text: str) -> str:
    """Returns the key of a URL, and any other id as it is."""
    return addresses.key_of(addresses.canonical(text)) if addresses.is_web(text) else text


def is_excluded(key: str, url: str, excluded: Container[str]) -> bool:
    """Tells whether a video is excluded: by its key or its id on its site, or by those of the page that holds it."""
    page, item = addresses.page_and_item(url)
    keys = [key] if item is None else [key, addresses.key_of(page)]
    return any(one in excluded or (bool(url) and one.partition("-")[2] in excluded) for one in keys)
