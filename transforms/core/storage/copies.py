"""Local copies of remote files, shared by all that read one in this process: probing, segments, scoring and cutting.

What is in use stays; of the rest the longest unused goes first where the copies take too much of the disk.
"""

import contextlib
import os
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

from clipscout.transforms.core.storage import filesystem

#: What copies that nobody reads may take of the disk: this, or a part of what is free.
_MOST_BYTES = 16 << 30
_PART_OF_FREE = 4


@dataclass
class _Copy:
    """One copy.

    Attributes:
      lock: Held while it is fetched.
      path: Where it lies; empty until it is there.
      size: In bytes.
      readers: How many read it, or wait for it.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    path: str = ""
    size: int = 0
    readers: int = 0


class Copies:
    """Copies in a folder that goes with the process. Thread-safe.

    Args:
      most_bytes: What they may take while nobody reads them.
      parent: Where their folder is made; None for that of temporary files.
    """

    def __init__(self, most_bytes: int | None = None, parent: str | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="clipscout-copies-", dir=parent, ignore_cleanup_errors=True)
        free = shutil.disk_usage(self._folder.name).free
        self._most_bytes = min(_MOST_BYTES, free // _PART_OF_FREE) if most_bytes is None else most_bytes
        self._lock = threading.Lock()
        #: By URI and content, the longest unused first.
        self._copies: OrderedDict[tuple[str, str], _Copy] = OrderedDict()
        self._made = 0

    @contextmanager
    def copy(self, uri: str) -> Iterator[str]:
        """Gives a local path with the content that a remote file has now; fetched once as long as it stays the same.

        Raises:
          StorageError: It cannot be read.
        """
        key = uri, filesystem.size_and_digest(uri)[1]
        with self._lock:
            copy = self._copies.setdefault(key, _Copy())
            self._copies.move_to_end(key)
            copy.readers += 1
        try:
            with copy.lock:
                if not copy.path:
                    self._fetch(uri, copy)
            yield copy.path
        finally:
            with self._lock:
                copy.readers -= 1
                self._make_room()

    def close(self) -> None:
        """Removes all copies."""
        self._folder.cleanup()

    def _fetch(self, uri: str, copy: _Copy) -> None:
        with self._lock:
            self._make_room()
            self._made += 1
            path = os.path.join(self._folder.name, str(self._made))
        with filesystem.local_copy(uri, self._folder.name) as fetched:
            os.replace(fetched, path)
        copy.size, copy.path = os.path.getsize(path), path

    def _make_room(self) -> None:
        """Removes copies that nobody reads, and what is known of those that could not be fetched."""
        taken = sum(copy.size for copy in self._copies.values())
        for key, copy in list(self._copies.items()):
            if copy.readers or (copy.path and taken <= self._most_bytes):
                continue
            with contextlib.suppress(OSError):
                if copy.path:
                    os.unlink(copy.path)
            taken -= copy.size
            del self._copies[key]


@lru_cache(maxsize=1)
def of_process(_pid: int) -> Copies:
    """Returns the copies of a process; a process that was forked has its own."""
    return Copies()


@contextmanager
def shared_copy(uri: str) -> Iterator[str]:
    """Gives a local path to read a file from: itself, or a copy that this process fetches once and shares.

    Raises:
      StorageError: It cannot be read.
    """
    if filesystem.is_remote(uri):
        with of_process(os.getpid()).copy(uri) as path:
            yield path
    else:
        with filesystem.local_copy(uri) as path:
            yield path
