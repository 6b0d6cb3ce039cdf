"""`python -m tests.load`, which is what `make load` runs."""

import sys

from tests.load.run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
