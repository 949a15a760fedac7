"""`python -m demos`."""

import os
import sys


def start() -> int:
    """Run the command with one thread per matrix product: on small matrices, threads mostly wait for each other."""
    for library in ("OPENBLAS", "MKL", "OMP"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")  # read when NumPy is loaded
    from demos.lesson import main

    return main()


if __name__ == "__main__":
    sys.exit(start())
