"""`python -m demos`."""

import sys

from demos.lesson import main

if __name__ == "__main__":
    sys.exit(main())
