"""What a task of the supervised child is made of: the items it yields, and how it refuses its input."""

import errno
import os
from typing import Any

#: Instead of a failure code: no item is at fault, the machine has no space left.
DISK_FULL = "disk_full"

#: What a task yields: JSON-able facts, and a bytes-like payload or None.
Item = tuple[dict[str, Any], Any]
#: What a task yields where it has nothing to say for long.
SIGN_OF_LIFE: Item = ({}, None)


def disk_full_message(error: BaseException, where: str) -> str:
    """Returns what is to be told where an error says that the disk of a place is full; otherwise nothing."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{where}: {os.strerror(error.errno)}; free some, and the same command goes on"
    return ""


class TaskError(Exception):
    """The task refuses its input: `code` is the failure code, the message one line."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
