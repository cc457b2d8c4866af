"""`python -m pipeline`."""

import sys

from pipeline.start import start

if __name__ == "__main__":
    start(sys.argv[1:])
