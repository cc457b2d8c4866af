"""What the launcher of the Flex Template runs; see pipeline.run."""

import sys

from pipeline.run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
