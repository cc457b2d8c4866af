"""One row of a query file: its columns to a query, with the column that a misspelled one was meant to be."""

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

from clipscout.transforms.core.storage import naming
from clipscout.transforms.records import ActionQuery

_ACTION, _SOURCE, _OPTIONAL = (
    ("action", "label"),
    ("query", "url", "youtube_id", "path"),
    ("classes", "max_videos", "min_score"),
)
#: The columns that mean something to us; all others are the user's own.
COLUMNS = (*_ACTION, *_SOURCE, *_OPTIONAL)
#: How alike a name has to be: of a row that fails anyway, and of one that is good but for this name, since every other
#: column is the user's own (`class` is none of ours).
_ALIKE, _CLEARLY_MEANT = 0.65, 0.85
_MOST_VIDEOS = 10_000
#: As of the option `min_score`.
_HIGHEST_SCORE = 1e9


class RowError(ValueError):
    """A row that cannot be a query; the message says why in one line."""


def to_query(fields: dict[str, Any], row: str) -> ActionQuery:
    """Turns one row's columns into a query.

    Args:
      fields: Column name to value. `label` stands for `action`, `youtube_id` for `url`.
      row: Where the row stands, `file:line`.

    Raises:
      RowError: There is no action, not exactly one source, a value that does not fit, or a column that is one of ours
        but for its spelling; the message names the column.
    """
    columns = {str(name).strip(): value for name, value in fields.items() if value not in (None, "")}
    by_folded: dict[str, str] = {}
    for name in columns:
        other = by_folded.setdefault(name.lower(), name)
        if other != name and name.lower() in COLUMNS:
            raise RowError(f"both {other!r} and {name!r} are the column {name.lower()!r}")

    def take(*names: str) -> Any:
        for name in names:
            if name in by_folded and columns[by_folded[name]] not in (None, ""):
                return columns.pop(by_folded[name])
        return None

    taken: dict[str, Any] = {
        "action": _text(take(*_ACTION), "action"),
        "query": _text(take("query"), "query"),
        "url": _web_address(_text(take(*_addresses(columns, by_folded)), "url")),
        "path": _path(_text(take("path"), "path")),
        "classes": _classes(take("classes")),
        "max_videos": _positive_integer(take("max_videos"), "max_videos"),
        "min_score": _score(take("min_score"), "min_score"),
    }
    meant = _meant(taken, columns)
    try:
        query = ActionQuery(row=row, extra=columns, **taken)
    except ValueError as error:
        raise RowError(f"{error}{meant}") from None
    if meant:
        raise RowError(f"a column is misspelled{meant}")
    return query


def _addresses(columns: Mapping[str, Any], by_folded: Mapping[str, str]) -> tuple[str, ...]:
    """Returns the columns for an address; in our own `spans.csv` a video that is not YouTube's has its key as an id."""
    video_id = str(columns.get(by_folded.get("youtube_id", ""), "")).strip()
    is_address = naming.is_youtube_id(video_id) or "://" in video_id
    return ("url", "youtube_id") if is_address or "path" not in by_folded else ("url",)


def _meant(taken: Mapping[str, Any], others: Iterable[str]) -> str:
    """Returns which of ours a row's other columns were probably meant to be; nothing where it lacks none of them."""
    lacks_source = not any(taken[name] for name in ("query", "url", "path"))
    wanted = [*(() if taken["action"] else _ACTION), *(_SOURCE if lacks_source else ())]
    optional = [name for name in _OPTIONAL if taken[name] in (None, ())]
    pairs = ((_meant_by(other, tuple(wanted), tuple(optional)), other) for other in others)
    found = [f"{name!r} by the column {other!r}" for name, other in pairs if name]
    return f"; did you mean {' and '.join(found)}?" if found else ""


@lru_cache(maxsize=1024)  # most rows have the columns of the row before
def _meant_by(other: str, wanted: tuple[str, ...], optional: tuple[str, ...]) -> str:
    """Returns which column another one was probably meant to be: of those that a row lacks, and that it may have."""
    folded = re.sub(r"[\s-]+", "_", other.lower())
    near = [
        name for name in optional if name != "min_score"
    ]  # main_score and win_score are near it, and the user's own
    close = difflib.get_close_matches(folded, wanted, n=1, cutoff=_ALIKE)
    close = close or difflib.get_close_matches(folded, near, n=1, cutoff=_CLEARLY_MEANT)
    return close[0] if close else "min_score" if "min_score" in optional and _is_min_score(folded) else ""


def _is_min_score(name: str) -> bool:
    return name.replace("_", "").removesuffix("s") == "minscore"


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
        is_file = parts.scheme.lower() in ("file", "gs") or text.startswith(("/", "~", "./", "../"))
        hint = "; a file belongs in the column path" if is_file else ""
        hint = "; that is a key, and the row needs the path of the file" if text.startswith("file-") else hint
        raise RowError(f"url is {text!r}, expected http(s)://... or an 11-character YouTube id{hint}")
    return text


def _path(text: str) -> str:
    """Returns a local path or a gs:// URI; file:// addresses are paths."""
    if text.lower().startswith("file:/"):
        parts = urlsplit(text)
        if parts.netloc not in ("", "localhost"):
            raise RowError(f"path is {text!r}, a file of the machine {parts.netloc!r}; give one that is here")
        return unquote(parts.path, errors="surrogateescape")
    if text.lower().startswith(("http://", "https://")):
        raise RowError(f"path is {text!r}; a web address belongs in the column url")
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text)
    if scheme and scheme[0] != "gs://":
        raise RowError(f"path is {text!r}, expected a local path or gs://BUCKET/...")
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
        number = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else 0.0
    except (ValueError, OverflowError):
        number = 0.0
    if not (1 <= number <= _MOST_VIDEOS and number.is_integer()):  # a spreadsheet writes 5 as 5.0
        raise RowError(f"{column} is {value!r}, expected a whole number from 1 to {_MOST_VIDEOS}")
    return int(number)


def _score(value: Any, column: str) -> float | None:
    if value is None:
        return None
    try:
        number = float(value) if isinstance(value, (int, float, str)) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not 0 <= number <= _HIGHEST_SCORE:
        raise RowError(f"{column} is {value!r}, expected a number from 0 to {_HIGHEST_SCORE:g}")
    return number
