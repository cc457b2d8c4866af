"""Which of yt-dlp's 1,800 extractors serves an address, without asking each of them.

An address that an extractor's pattern matches holds a piece of text that the pattern cannot do without, its site's name
as a rule. Only extractors of which such a piece is there are asked, in yt-dlp's order, so that the answer is yt-dlp's.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from re import _constants as kinds  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

#: Characters that are no ASCII letters, but match one where case does not count.
_LIKE_LETTERS = str.maketrans("\N{LATIN SMALL LETTER LONG S}\N{KELVIN SIGN}\u0130\u0131", "skii")


#: Pieces are looked up by how they begin; shorter ones tell nothing.
_START = 3


class _Index(NamedTuple):
    """All extractors; places of those that are always asked; start of a piece to piece to places of who needs it."""

    extractors: tuple[Any, ...]
    asked: tuple[int, ...]
    by_start: dict[str, dict[str, list[int]]]


def serving(url: str) -> Any:
    """Returns the first extractor that takes an address; generic, the last one, takes anything."""
    extractors = _index().extractors
    for place in _candidates(url.translate(_LIKE_LETTERS).lower()):
        try:
            if extractors[place].suitable(url):
                return extractors[place]
        except ValueError:  # no URL at all
            continue
    return extractors[-1]


def _candidates(text: str) -> Iterator[int]:
    """Yields the places of the extractors that may take an address, which is folded; YouTube's before any search."""
    _, asked, by_start = _index()
    yield 0
    found = set(asked)
    for position in range(len(text) - _START + 1):
        for piece, places in by_start.get(text[position : position + _START], {}).items():
            if text.startswith(piece, position):
                found.update(places)
    yield from sorted(found - {0})


def youtube() -> Any:
    """Returns the extractor of a YouTube video."""
    return _index().extractors[0]


def all_extractors() -> list[Any]:
    """Returns all extractors in yt-dlp's order, but for YouTube's, which is first, and takes most of all addresses."""
    from yt_dlp.extractor import gen_extractor_classes, get_info_extractor
    from yt_dlp.plugins import load_all_plugins

    load_all_plugins()
    return [get_info_extractor("Youtube"), *gen_extractor_classes()]


@lru_cache(maxsize=1)
def _index() -> _Index:
    extractors = tuple(dict.fromkeys(all_extractors()))
    asked, by_start = [], dict[str, dict[str, list[int]]]()
    for place, extractor in enumerate(extractors):
        needed = _needed_by(extractor)
        if needed is None:
            asked.append(place)
        for piece in needed or ():
            by_start.setdefault(piece[:_START], {}).setdefault(piece, []).append(place)
    return _Index(extractors, tuple(asked), by_start)


def _needed_by(extractor: Any) -> frozenset[str] | None:
    """Returns pieces of which each address that an extractor takes holds one; None where that cannot be told.

    What yt-dlp's own extractors say beside their patterns only narrows these; a plugin's may say anything.
    """
    if not extractor.__module__.startswith("yt_dlp.extractor."):
        return None
    patterns = extractor._VALID_URL or ()
    return _one_of(map(needed, (patterns,) if isinstance(patterns, str) else patterns))


def needed(pattern: str) -> frozenset[str] | None:
    """Returns pieces of which whatever matches a regular expression holds one, case aside; None where it needs none."""
    return _needed(parser.parse(pattern))


def _needed(parsed: Any) -> frozenset[str] | None:
    return max(_all_needed(parsed), key=_worth, default=None)


def _all_needed(parsed: Any) -> Iterator[frozenset[str]]:
    """Yields sets of pieces; whatever matches holds one of each set."""
    literal = ""
    for kind, value in (*parsed, (None, None)):
        if kind is kinds.LITERAL and value < 128:
            literal += chr(value).lower()
            continue
        if len(piece := _telling(literal)) >= _START:
            yield frozenset([piece])
        literal, inner = "", None
        if kind is kinds.SUBPATTERN:
            inner = _needed(value[-1])
        elif kind is kinds.BRANCH:
            inner = _one_of(map(_needed, value[1]))
        elif kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT) and value[0]:
            inner = _needed(value[2])
        if inner is not None:
            yield inner


def _one_of(choices: Iterable[frozenset[str] | None]) -> frozenset[str] | None:
    """Returns what one of several choices needs; None where one of them needs nothing."""
    found = list(choices)
    return None if None in found else frozenset[str]().union(*filter(None, found))


def _worth(pieces: frozenset[str]) -> tuple[int, int]:
    """Returns how well pieces tell addresses apart: by the shortest, and by how few they are."""
    return min(map(len, pieces), default=0), -len(pieces)


def _telling(literal: str) -> str:
    """Returns the end of a text that tells a site from another: how most addresses begin does not."""
    return "" if literal in ("http", "https") else literal.rpartition("://")[2].removeprefix("www.")
