"""`python -m benchmarks` runs all benchmarks, `python -m benchmarks steps tracing` only these two.

Each says what it measures and prints ratios; `--json FILE` writes them to a file, with the versions of the libraries.
"""

import argparse
import ast
import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from runpy import run_module

from benchmarks import _rounds

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in HERE.glob("[!_]*.py"))


def versions() -> dict[str, str]:
    """Versions of Python and of the installed libraries that are timed."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in ("numpy", "numba", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(NAMES)}; default: all")
    parser.add_argument("--json", type=Path, help="file to write the ratios to")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.names if name not in NAMES]
    if unknown:
        print(f"benchmarks: unknown {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    for name in chosen.names or NAMES:
        source = (HERE / f"{name}.py").read_text(encoding="utf-8")
        print(f"\n{name}: {ast.get_docstring(ast.parse(source))}\n", flush=True)
        run_module(f"benchmarks.{name}", run_name="__main__")
    if chosen.json:
        chosen.json.write_text(json.dumps({"versions": versions(), "results": _rounds.results}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
