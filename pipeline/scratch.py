"""The program's folder for temporary files, and those that programs left which were killed.

Whoever lives holds a lock on a file in its folder; the system gives it back whatever ends a program.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX, _LOCK = "clipscout-", ".in-use"


class Scratch:
    """A folder of this program, as long as it is not removed.

    Attributes:
      folder: Its path.
    """

    def __init__(self, parent: str) -> None:
        """Makes it below a folder for temporary files.

        Raises:
          OSError: There is no such place.
        """
        self.folder = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
        lock = os.path.join(self.folder, _LOCK)
        self._lock = os.open(f"{lock}-new", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        os.rename(f"{lock}-new", lock)  # nobody sees it without its lock

    def remove(self) -> None:
        """Removes it with all that it holds."""
        shutil.rmtree(self.folder, ignore_errors=True)


def remove_left(folder: str) -> None:
    """Removes what programs that were killed left in a folder for temporary files."""
    for path in Path(folder).glob(f"{_PREFIX}*/{_LOCK}"):
        with contextlib.suppress(OSError):  # somebody else's, or in use
            lock = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path.parent, ignore_errors=True)
            finally:
                os.close(lock)
