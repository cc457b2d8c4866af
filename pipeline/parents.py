"""A process that ends with the one that started it."""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1  # sys/prctl.h


def end_with(parent: int, number: int) -> bool:
    """Lets Linux send this process a signal when its parent is gone, or the thread of it that started this process.

    Returns:
      Whether the parent is still there.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    return os.getppid() == parent
