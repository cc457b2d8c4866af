"""Small files that several programs change: each change is made from what is there, locally and on gs://."""

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

from clipscout.transforms.core.storage import filesystem, gcs

#: From a file's content, None where there is no file, to its new one, None to remove it.
Change: TypeAlias = Callable[[bytes | None], bytes | None]


def update(uri: str, change: Change) -> None:
    """Changes a small file in one step: nobody else's change comes between what it is made from and what it becomes.

    Args:
      uri: The file.
      change: Takes its content, None where there is none, and returns the new one, None to remove it. It is asked again
        where somebody was faster. What it raises ends the attempt, and nothing is changed.
    """
    while not (_update_object if filesystem.is_remote(uri) else _update_file)(uri, change):
        pass


def _update_file(path: str, change: Change) -> bool:
    with filesystem.explained(path):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
            with suppress(OSError):  # a network's folder may have no locks
                fcntl.flock(file, fcntl.LOCK_EX)
            try:
                ours = os.path.samestat(os.fstat(file.fileno()), os.stat(path))
            except FileNotFoundError:
                ours = False
            if not ours:  # removed before it was locked
                return False
            after = change(file.read() or None)
            if after is None:
                os.unlink(path)
            else:
                file.seek(0)
                file.write(after)
                file.truncate()  # last: who reads without the lock must not find the file empty
            return True


def _update_object(uri: str, change: Change) -> bool:
    from google.api_core.exceptions import NotFound, PreconditionFailed

    with gcs.bucket_of(uri) as (bucket, name, patience):
        try:
            found = bucket.get_blob(name, **patience)
            there = {"if_generation_match": found.generation if found else 0, **patience}
            after = change(found.download_as_bytes(**there) if found else None)
            if after is not None:
                bucket.blob(name).upload_from_string(after, checksum="crc32c", **there)
            elif found:
                found.delete(**there)
        except PreconditionFailed:  # somebody was faster, or an answer was lost
            return False
        except NotFound:
            if found is None:  # it is the bucket that is not there
                raise
            return False
        return True
