"""The files of a clip below the output: the clip, its poster and its record, and their places once it is left out."""

from collections.abc import Iterator
from dataclasses import replace

from clipscout.transforms.core.storage import filesystem
from clipscout.transforms.records import Clip

#: Folders of clips that are kept, and of those that a run with `--duplicates=drop` left out.
CLIPS, DROPPED = "clips", "dropped"


def record_of(path: str) -> str:
    """Returns where the record of a clip lies, by the clip's path."""
    return path.removesuffix(".mp4") + ".json"


def dropped(path: str) -> str:
    """Returns where a clip, its poster or its record lies once it is left out; nothing for no path."""
    return DROPPED + path.removeprefix(CLIPS) if path else ""


def as_dropped(clip: Clip) -> Clip:
    """Returns a clip with the places that its files have once it is left out."""
    return replace(clip, path=dropped(clip.path), poster=dropped(clip.poster))


def files_of(clip: Clip) -> Iterator[str]:
    """Yields the clip, its poster and its record; the record last, so that what has one is whole."""
    yield from filter(None, (clip.path, clip.poster, record_of(clip.path)))


def set_aside(output: str, clip: Clip) -> None:
    """Moves the files of a clip to the folder of those that are left out; what is there already stays.

    Raises:
      StorageError: One cannot be moved.
    """
    for path in files_of(clip):
        filesystem.move(filesystem.join(output, path), filesystem.join(output, dropped(path)))


def take_back(output: str, path: str) -> bool:
    """Moves the files of a clip back that an earlier run has set aside; tells whether there were some.

    Args:
      output: The output folder.
      path: Where the clip lies while it is kept.

    Raises:
      StorageError: One cannot be moved.
    """
    record = filesystem.join(output, dropped(record_of(path)))
    if not filesystem.exists(record):
        return False
    for name in (path, path.removesuffix(".mp4") + ".jpg", record_of(path)):
        filesystem.move(filesystem.join(output, dropped(name)), filesystem.join(output, name))
    return True
