"""`python -m clipscout.pipeline.beside OPTIONS`: the job of a notebook, which ends with it."""

import ctypes
import os
import signal
import sys

from clipscout.pipeline.start import start

_PR_SET_PDEATHSIG = 1  # sys/prctl.h

if __name__ == "__main__":
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it was gone before that
        sys.exit(128 + signal.SIGTERM)
    start(sys.argv[1:])
