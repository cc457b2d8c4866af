"""`python -m clipscout.pipeline.beside OPTIONS`: the job of a notebook, which ends with it."""

import os
import signal
import sys

from clipscout.pipeline import parents
from clipscout.pipeline.start import start

if __name__ == "__main__":
    if not parents.end_with(os.getppid(), signal.SIGTERM):  # it was gone before that
        sys.exit(128 + signal.SIGTERM)
    start(sys.argv[1:])
