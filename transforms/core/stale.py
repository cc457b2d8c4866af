"""Clips of earlier runs that the manifests do not name any more: counted, and removed where that is asked for."""

import re
from collections.abc import Container, Iterable
from typing import NamedTuple

from transforms.core import storage

_OWN_CLIP = re.compile(r"clips/[^/]+/.+_\d+_\d+\.(mp4|json|jpg)")


class Cleaned(NamedTuple):
    """What became of the clips that the manifests do not name.

    Attributes:
      removed: How many of them are gone, each with its poster and its record.
      kept: How many are still there.
      error: Why no more could be removed; empty where nothing failed.
    """

    removed: int
    kept: int
    error: str = ""


def own_files(output: str) -> list[str]:
    """Returns the clips, posters and records below the output that have a name of ours."""
    return [name for name in storage.list_files(output, "clips/") if _OWN_CLIP.fullmatch(name)]


def unnamed(files: Iterable[str], named: Container[str]) -> list[str]:
    """Returns those files that no manifest names; a record lies beside its clip and is named with it."""
    return [name for name in files if re.sub(r"\.json$", ".mp4", name) not in named]


def clips_in(files: Iterable[str]) -> int:
    """Returns how many of the files are clips."""
    return sum(name.endswith(".mp4") for name in files)


def clean(output: str, named: Container[str], *, remove: bool) -> Cleaned:
    """Counts the clips that the manifests do not name; removes them, and the folders that are left empty, if asked to.

    What cannot be removed is no failed job: everything else is written, and the reason is told.
    """
    left = unnamed(own_files(output), named)
    if not remove:
        return Cleaned(0, clips_in(left))
    before = clips_in(left)
    try:
        while left:
            storage.delete(storage.join(output, left[-1]))
            left.pop()
        storage.remove_empty_folders(storage.join(output, "clips"))
    except storage.StorageError as error:
        return Cleaned(before - clips_in(left), clips_in(left), str(error))
    return Cleaned(before, 0)
