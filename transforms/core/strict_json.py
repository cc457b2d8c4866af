"""The one writer of JSON files: they are JSON to any reader, and those know neither NaN nor infinities."""

import json
import math
from typing import Any

from transforms.core import storage


def text(value: Any, *, indent: int | None = None, ascii_only: bool = True) -> str:
    """Returns a value as JSON text; a number that is not finite becomes null.

    Args:
      value: JSON-able, but for numbers that are not finite.
      indent: Spaces per level; None is for one line.
      ascii_only: Escape all that is not ASCII.
    """
    try:
        return json.dumps(value, indent=indent, ensure_ascii=ascii_only, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), indent=indent, ensure_ascii=ascii_only, allow_nan=False)


def write(uri: str, value: Any, *, indent: int | None = None) -> None:
    """Writes a value as a JSON file, complete or not at all.

    Raises:
      StorageError: It cannot be written.
    """
    storage.write_bytes(uri, text(value, indent=indent).encode())


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_finite(name): _finite(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return value
