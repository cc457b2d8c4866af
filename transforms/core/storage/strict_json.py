"""What is written as JSON is JSON to any reader, and what is read can be written: no NaN, no half of a character."""

import json
import math
from collections import Counter
from typing import Any

from clipscout.transforms.core.storage import filesystem, naming

#: How deep what is read may be nested.
DEEPEST = 20


def text(value: Any, *, indent: int | None = None) -> str:
    """Returns a value as JSON text.

    Args:
      value: JSON-able, but for numbers that are not finite, which become null, and for half a surrogate pair (a name of
        a file that is not UTF-8), which becomes its escape as text.
      indent: Spaces per level; None is for one line.
    """
    try:
        written = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
        written.encode()
    except ValueError:
        return json.dumps(plain(value), indent=indent, ensure_ascii=False, allow_nan=False)
    return written


def loads(content: str | bytes, deepest: int = DEEPEST) -> Any:
    """Returns a JSON value that can be written again, and that nobody who walks down it falls into.

    Raises:
      ValueError: It is none.
    """
    try:
        value = json.loads(content, object_pairs_hook=_once_each)
        # half a surrogate pair cannot be written again, nor can numbers without end
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError:
        raise ValueError(f"nested more than {deepest} deep") from None
    level = [value]
    for _ in range(deepest):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    if any(isinstance(inner, dict | list) for inner in level):
        raise ValueError(f"nested more than {deepest} deep")
    return value


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) < len(pairs):
        twice = next(name for name, number in Counter(name for name, _ in pairs).items() if number > 1)
        raise ValueError(f"the name {twice!r} stands there twice")
    return named


def write(uri: str, value: Any, *, indent: int | None = None) -> None:
    """Writes a value as a JSON file, complete or not at all.

    Raises:
      StorageError: It cannot be written.
    """
    filesystem.write_bytes(uri, text(value, indent=indent).encode())


def plain(value: Any) -> Any:
    """Returns a value as any reader takes it; see `text`."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return naming.printable(value)
    if isinstance(value, dict):
        return {plain(name): plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value
