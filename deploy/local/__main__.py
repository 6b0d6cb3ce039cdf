"""`python -m deploy.local`, which is what `make run` runs."""

import sys

from deploy.local.runner import main

sys.exit(main(sys.argv[1:]))
