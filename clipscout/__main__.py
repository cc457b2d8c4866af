"""`python -m clipscout`."""

import sys

from clipscout.pipeline.cli import main

if __name__ == "__main__":
    sys.exit(main())
