"""Exclude files: ids, keys or URLs of videos that must never be fetched, e.g. an existing test set."""

import csv
from collections.abc import Container, Iterable, Iterator
from itertools import chain

from transforms.core import web
from transforms.core.rows import separator

_ID_COLUMNS = ("youtube_id", "video_id", "key", "url", "id")


def read(lines: Iterable[str], delimiter: str | None) -> Iterator[str]:
    """Yields the excluded ids of one file.

    Args:
      lines: Its text.
      delimiter: Of a CSV or TSV file, whose header has one of the columns youtube_id, video_id, key, url and id (the
        first of these counts; a CSV without any is read as ids in its first column); None for a plain file with one id
        per line, where a line that begins with `#` is a comment.
    """
    if delimiter is None:
        for line in lines:
            if (text := line.strip()) and not text.startswith("#"):
                yield normal(text)
        return
    column: int | None = None
    lines = iter(lines)
    first = next(lines, "")
    for cells in csv.reader(chain([first], lines), delimiter=separator(first, delimiter, _ID_COLUMNS)):
        if column is None:
            header = [cell.strip().lower() for cell in cells]
            column = next((header.index(name) for name in _ID_COLUMNS if name in header), None)
            if column is not None:
                continue
            column = 0
        if column < len(cells) and cells[column].strip():
            yield normal(cells[column].strip())


def normal(text: str) -> str:
    """Returns the key of a URL, and any other id as it is."""
    return web.key_of(web.canonical(text)) if web.is_web(text) else text


def is_excluded(key: str, url: str, excluded: Container[str]) -> bool:
    """Tells whether a video is excluded: by its key or its id on its site, or by those of the page that holds it."""
    page, item = web.page_and_item(url)
    keys = [key] if item is None else [key, web.key_of(page)]
    return any(one in excluded or (bool(url) and one.partition("-")[2] in excluded) for one in keys)
