"""What all lessons share: the command line, the tables, the pictures, and the result that a lesson returns.

- `Result(table, figure, numbers, claims)`: what `run()` of every lesson returns; `print(result)` shows it.
- `each(measure, items)`, as a dictionary `measured(…)`: one by one, with a progress bar; Ctrl-C keeps what is finished.
- `table(headers, rows)`, `picture(width, height, how_to_read)`.

A lesson is a module with a function `run`. Its keyword arguments, `Annotated[int, "what it is"] = 50`, become
options of the command; `QUICK`, if there is one, holds the smaller settings for `--quick`.
"""

from __future__ import annotations

import argparse
import difflib
import importlib.util
import inspect
import math
import sys
import tempfile
import textwrap
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

from matplotlib.figure import Figure
from tqdm import tqdm

LESSONS = {  # name: (its question, the lesson to take before it, minutes on two cores)
    "mechanics": ("how is a gradient computed? an engine in 60 lines, then the same from minigrad", "—", 0.1),
    "chain": ("why does a gradient shrink or grow through a row of neurons?", "mechanics", 0.1),
    "logistic_map": ("where do gradients explode, and where do they vanish, when a step repeats?", "chain", 0.1),
    "gradient_descent": ("how large a step downhill is too large?", "chain", 0.2),
    "saturation": ("why does a unit stop learning, and which remedy revives which?", "chain", 0.1),
    "vanishing": ("why does a deep sigmoid network not learn, and which remedies work?", "mechanics", 2),
    "exploding": ("what can clipping and decaying rates do about exploding gradients, and what not?", "vanishing", 3),
    "remedies": ("which remedy helps a deep network, with SGD and with Adam, over several seeds?", "exploding", 3),
    "observe": ("what is wrong with a net that does not learn? watched, diagnosed, rescued", "vanishing", 0.2),
    "memory": ("which recurrent networks remember what lies a hundred steps back?", "vanishing", 3),
    "shortcuts": ("which paths do shortcuts open for a gradient, and which blocks can be deleted?", "vanishing", 0.2),
    "initialisation": ("how should weights start, so that signals and gradients keep their size?", "vanishing", 0.5),
    "batchnorm": ("what does BatchNorm do to gradients, to large inputs, and after training?", "vanishing", 0.2),
    "accumulation": ("do split batches, summed losses and weight decay equal what they replace?", "mechanics", 0.1),
    "matmul": ("why is a matrix product in three loops a hundred times slower than NumPy's?", "mechanics", 1),
    "text": ("what does a network learn letter by letter, and how does it go on after a stop?", "memory", 2),
    "digits": ("how is a good classifier trained? the loop to copy, watched while it runs", "mechanics", 0.1),
}

# Okabe and Ito's palette for colour-blind readers, without its yellow, which is too pale for lines
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


class UserError(ValueError):
    """The request cannot be met: an option out of range, a missing folder, a damaged file."""


class Claim(NamedTuple):
    """What textbooks say, what this run measured, and the verdict: "holds", "holds if …" or "false"."""

    said: str  # with its source
    measured: str
    verdict: str


@dataclass(frozen=True)
class Result:
    """What a lesson returns; `complete` is False if Ctrl-C ended it early."""

    table: str  # everything it prints before the claims
    figure: Figure
    numbers: dict[str, Any]  # everything measured, by name, unrounded
    claims: list[Claim] = field(default_factory=list)
    complete: bool = True

    def __str__(self) -> str:
        closing = table(("what the textbooks say", "what this run measured", "verdict"), self.claims, (46, 46, 20))
        return f"{self.table}\n\n{closing}" if self.claims else self.table


def require(condition: bool, sentence: str) -> None:
    """Raise UserError with `sentence` unless `condition` holds."""
    if not condition:
        raise UserError(sentence)


def at_least(**options: tuple[float, float]) -> None:
    """Require a least value of each option: `at_least(depth=(depth, 2), seed=(seed, 0))`."""
    for name, (value, least) in options.items():
        require(value >= least, f"--{name}: at least {least}, not {value}")


def holds(always: bool, sometimes: bool = False, only_if: str = "") -> str:
    """The verdict on a claim: "holds", "holds if …" or "false"."""
    return "holds" if always else f"holds if {only_if}" if sometimes else "false"


def each(measure: Callable, items: Collection, label: str = "") -> list:
    """`[measure(item) for item in items]`, with a progress bar on a terminal; Ctrl-C keeps what is finished."""
    results: list = []
    with tqdm(items, desc=label, disable=None, leave=False, file=sys.stderr) as bar:
        try:
            for item in bar:
                results.append(measure(item))
        except KeyboardInterrupt:
            if not results:
                raise
    return results


def measured(measure: Callable, items: Collection, label: str = "") -> dict:
    """`{item: measure(item) for item in items}`, as `each` does it: Ctrl-C keeps what is finished."""
    return dict(zip(items, each(measure, items, label), strict=False))


def written(x: Any, form: str = ".6g") -> str:
    """A number, to six digits unless `form` says otherwise; "—" for NaN, 0 for −0, text and integers unchanged."""
    text = str(x) if isinstance(x, (str, int)) else "—" if math.isnan(x) else f"{x:{form}}".replace("-", "−")
    return text if text.strip("−0.%") else text.lstrip("−")


def table(headers: Sequence[str], rows: Iterable[Sequence], widths: Sequence[int] | None = None) -> str:
    """Rows under headers: numbers flush right, or text in columns wrapped at `widths`."""
    cells = [[written(cell) for cell in row] for row in (headers, *rows)]
    sides = ["<", *(len(headers) - 1) * ["<" if widths else ">"]]
    widths = widths or [max(map(len, column)) for column in zip(*cells, strict=True)]
    line = "  ".join(f"{{:{side}{width}}}" for side, width in zip(sides, widths, strict=True))  # {:<8}  {:>5}
    lines = []
    for row in cells:
        wrapped = [textwrap.wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)]
        lines += [line.format(*parts).rstrip() for parts in zip_longest(*wrapped, fillvalue="")]
    lines.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(lines)


def picture(width: float, height: float, how_to_read: str) -> Figure:
    """An empty figure of `width` × `height` inches, with a caption that says how to read it."""
    figure = Figure(figsize=(width, height), layout="constrained")
    caption = textwrap.fill("How to read: " + how_to_read, int(width * 15))
    figure.supxlabel(caption, x=0.01, ha="left", fontsize=9, color="#444444")
    return figure


def check_packages() -> None:
    """Raise ImportError unless `layers`, `optim` and `demos` are imported from the folder that holds `minigrad`."""
    import minigrad

    home = Path(minigrad.__file__).resolve().parents[1]
    for name in ("layers", "optim", "demos"):
        spec = importlib.util.find_spec(name)
        if spec is None:
            raise ImportError(f"the package {name!r} of minigrad is missing; install it again: pip install -e {home}")
        places = list(spec.submodule_search_locations or [spec.origin])
        if not any(Path(place).resolve() == home / name for place in places):
            raise ImportError(
                f"`import {name}` finds {places[0]}, which hides minigrad's own {home / name}; "
                f"run from {home}, or move the other one out of Python's path"
            )


# The command

TYPED = str.maketrans("", "", "(),")  # writes a tuple as it is typed: 64 256 512


def option(parser: argparse.ArgumentParser, name: str, parameter: inspect.Parameter) -> None:
    """Add an argument of `run`, such as `depth: Annotated[int, "hidden layers"] = 50`, to the command line."""
    require(get_origin(parameter.annotation) is Annotated, f'run: write {name}: Annotated[int, "what it is"] = 0')
    kind, text = get_args(parameter.annotation)
    kind = get_args(kind)[0] if isinstance(kind, UnionType) else kind  # str | None
    how: dict[str, Any] = {"type": kind}
    if kind is bool:
        how = {"action": argparse.BooleanOptionalAction}
    elif get_origin(kind) is Literal:
        how = {"choices": get_args(kind)}
    elif get_origin(kind) is tuple:
        how = {"type": get_args(kind)[0], "nargs": "+"}
    shown = "" if parameter.default in (None, ()) else f" (default: {str(parameter.default).translate(TYPED)})"
    parser.add_argument(f"--{name.replace('_', '-')}", default=parameter.default, help=text + shown, **how)


def options(name: str, module: Any, arguments: Sequence[str]) -> dict[str, Any]:
    """The arguments for a lesson's `run`; argparse exits with status 2 and a sentence if one is wrong."""
    parser = argparse.ArgumentParser(f"python -m demos {name}", description=LESSONS[name][0], allow_abbrev=False)
    for key, parameter in inspect.signature(module.run, eval_str=True).parameters.items():
        option(parser, key, parameter)
    parser.add_argument("--out", type=Path, default=Path("demo_output"), help="folder for the picture (%(default)s)")
    quick = getattr(module, "QUICK", {})
    smaller = " ".join(f"--{key} {value}".translate(TYPED) for key, value in quick.items())
    parser.add_argument("--quick", action="store_true", help=f"run in a few seconds: {smaller or 'no change needed'}")
    if "--quick" in arguments:
        parser.set_defaults(**quick)
    chosen = vars(parser.parse_args(arguments))
    del chosen["quick"]
    return {key: tuple(value) if isinstance(value, list) else value for key, value in chosen.items()}


def writable(folder: Path) -> None:
    """Create `folder` and check that a file can be written there, before anything is computed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(f"--out {folder}: cannot be written to ({error.strerror})") from error


def listing() -> str:
    rows = [(name, question, after, f"{minutes:g}") for name, (question, after, minutes) in LESSONS.items()]
    lessons = table(("lesson", "question", "after", "minutes"), rows, widths=(16, 84, 10, 7))
    return f"The lessons, in the order in which to take them:\n\n{lessons}\n\npython -m demos NAME --help"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a lesson from the command line; returns the exit status (0, 2 for a wrong request, 130 after Ctrl-C)."""
    sys.stdout.reconfigure(errors="replace")  # a terminal without σ and ∂ shows question marks
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        if name in ("-h", "--help"):
            print(listing())
            return 0
        check_packages()
        near = difflib.get_close_matches(name, LESSONS, 1)
        require(name in LESSONS, f"there is no lesson {name!r}" + (f"; did you mean {near[0]}?" if near else ""))
        module = importlib.import_module(f"demos.{name}")
        chosen = options(name, module, rest)
        require("seed" in chosen, 'run: every lesson has seed: Annotated[int, "random numbers"] = 0')
        at_least(seed=(chosen["seed"], 0))
        folder = chosen.pop("out")
        writable(folder)
        result = module.run(**chosen)
        path = folder / f"{name}.png"
        result.figure.savefig(path, dpi=120)
        print(f"{result}\n\npicture: {path}")
    except (UserError, ImportError, OSError) as error:
        print(f"python -m demos: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped before anything was finished", file=sys.stderr)
        return 130
    if not result.complete:
        print("stopped: only what was finished is shown", file=sys.stderr)
        return 130
    return 0
