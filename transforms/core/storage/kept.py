"""What earlier runs kept as JSON. A record that is damaged is told of and counts as none, so that it is made anew."""

import logging
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from clipscout.transforms.core.storage import filesystem, strict_json

_Record = TypeVar("_Record")
#: What comes of JSON that is none, of other types than expected, or nested without end.
DAMAGE = (ValueError, TypeError, KeyError, AttributeError, LookupError, RecursionError, OverflowError)
#: No record has a larger number, and neither Parquet nor a clock would take it.
_LARGEST = 2**53
_log = logging.getLogger(__name__)
_log.setLevel(logging.WARNING)  # also where others are to be silent


def read(uri: str, make: Callable[[Any], _Record]) -> _Record | None:
    """Returns what `make` makes of a record; None where there is none, or a damaged one.

    Raises:
      StorageError: The storage did not answer.
    """
    try:
        content = filesystem.read_bytes(uri)
    except filesystem.StorageError as error:
        if error.code == "not_found":
            return None
        raise
    try:
        return make(strict_json.loads(content))
    except DAMAGE:
        tell_damaged(uri)
        return None


def read_lines(uri: str, make: Callable[[Any], _Record]) -> Iterator[_Record]:
    """Yields what `make` makes of each line of a JSON Lines file, but for damaged ones.

    Raises:
      StorageError: The file cannot be read.
    """
    with filesystem.local_copy(uri) as path, filesystem.opened(path) as lines:
        for number, line in enumerate(lines, start=1):
            if line := line.removesuffix(b"\n"):
                try:
                    record = make(strict_json.loads(line))
                except DAMAGE:
                    tell_damaged(f"{uri}:{number}")
                    continue
                yield record


def tell_damaged(uri: str) -> None:
    """Tells of a record of an earlier run that cannot be used."""
    _log.warning("%s is damaged; the job goes on as if it were not there", uri)


def fields(record: Any, types: dict[str, type | tuple[type, ...]]) -> dict[str, Any]:
    """Returns those fields of a record that are named; each has to be there, with its type.

    Raises:
      ValueError: One is not.
    """
    for name, kind in types.items():
        value = record[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{name} is {value!r}")
        if isinstance(value, int | float) and abs(value) > _LARGEST:
            raise ValueError(f"{name} is {value!r}")
    return {name: record[name] for name in types}
