"""What the launcher of the Flex Template runs; see clipscout.pipeline.run."""

import sys

from clipscout.pipeline.run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
