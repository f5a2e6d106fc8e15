"""`python -m openqueues` is the command `openqueues`."""

import sys

from openqueues.cli import main

if __name__ == "__main__":
    sys.exit(main())
