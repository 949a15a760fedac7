"""What a shortcut does: the paths it opens for a gradient, the directions it keeps, and blocks that can be deleted.

Four networks of equally many blocks (`demos/blocks.py`) are examined when they are new, and again after training on
handwritten digits. Then each block is deleted in turn, to see which one the network misses.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from demos.blocks import BLOCKS, deleted, network, probe
from demos.datasets import Dataset, digits
from demos.lesson import COLOURS, Claim, Result, at_least, holds, measured, picture, table, written
from demos.training import fit
from layers import Sequential
from minigrad.data import accuracy
from optim import Adam

QUICK = {"depth": 10, "epochs": 6}
LINES = (":", "-", "--", "-.")
HEADS = ("network", "decades", "90% within", "around", "σ min", "σ median", "σ max", "correct", "one less", "worst")
KEY = """decades     log₁₀ ‖∂L/∂h₀‖/‖∂L/∂y‖, h₀ being what the first block receives and y the logits
90% within  90% of ∂L/∂h₀ (of the sum of ‖part‖ by length of path) comes through the weights of at most this many blocks
around      ‖part‖ that comes through the weights of none, relative to ‖∂L/∂h₀‖
σ           singular values of ∂h/∂h₀ over all blocks, median of four images
one less    share of held-out images correct with one block deleted: mean over all blocks, and the worst"""


def correct(model: Sequential, images: Dataset) -> float:
    with mg.no_grad():
        return accuracy(model(images.x_held_out), images.y_held_out)


def power(x: float) -> str:
    return written(x, ".1e") if x else "0"


def report(rows: dict[str, dict]) -> str:
    """Two lines per network, new and trained, and the chain of products through the residual blocks."""
    lines = []
    for name, row in rows.items():
        for when in ("new", "trained"):
            look, without = row[when], row["without"] if when == "trained" else None
            cells = [written(look["decades"], ".2f"), look["within"]]
            cells += map(power, (look["around"], *look["extent"]))
            shares = () if without is None else (row["correct"], np.mean(without), min(without))
            lines.append([f"{name}, {when}", *cells, *([f"{share:.1%}" for share in shares] or 3 * ["—"])])
    chains = [f"The new {name} network:\n\n{row['new']['chain']}" for name, row in rows.items() if name == "residual"]
    return "\n\n".join([table(HEADS, lines), KEY, *chains])


def draw(rows: dict[str, dict]) -> Figure:
    """Paths, singular values and the effect of deleting a block, in new and in trained networks."""
    how_to_read = (
        "on the left, the further right a curve, the more blocks a gradient went through; in the middle, a curve that "
        "falls out of the picture lost those directions; below on the right, the lower a dot, the more that block was "
        "needed."
    )
    figure = picture(13, 7.5, how_to_read)
    (paths, spectra, (one, deletion)) = figure.subplots(2, 3).T
    for (name, row), colour, line in zip(rows.items(), COLOURS, LINES, strict=False):
        style = {"color": colour, "linestyle": line, "label": name}
        for axes, when in zip(paths, ("new", "trained"), strict=True):
            axes.plot(row[when]["parts"], **style)
            axes.set(title=f"∂L/∂h₀ by paths, {when}", xlabel="blocks passed", ylabel="‖part‖/Σ‖parts‖")
        for axes, when in zip(spectra, ("new", "trained"), strict=True):
            axes.plot(range(1, len(row[when]["all blocks"]) + 1), row[when]["all blocks"], **style)
            axes.set(
                title=f"singular values of all blocks, {when}", ylim=(1e-4, 1e2), yscale="log", xlabel="k-th largest"
            )
        one.plot(range(1, len(row["new"]["one block"]) + 1), row["new"]["one block"], **style)
        deletion.plot(np.arange(1, len(row["without"]) + 1), row["without"], marker=".", **style)
    one.set(title="singular values of the middle block, new", ylim=(1e-4, 1e2), yscale="log", xlabel="k-th largest")
    deletion.set(title="correct without one block", xlabel="block that is deleted", ylim=(0, 1))
    paths[0].legend()
    for axes in figure.axes:
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def claims(rows: dict[str, dict], depth: int) -> list[Claim]:
    """What is often said of shortcuts, against this run."""
    trained = {name: row["trained"] for name, row in rows.items()}
    smallest = {name: look["extent"][0] for name, look in trained.items()}
    lost = {name: row["correct"] - float(np.mean(row["without"])) for name, row in rows.items()}
    missed = [lost[name] for name in rows if name != "plain"]
    plain, within = rows["plain"]["new"], trained["residual"]["within"]
    direct = float(trained["dense"]["parts"][:2].sum())
    kept, width = int(np.sum(plain["all blocks"] > 0.01)), len(plain["all blocks"])
    return [
        Claim(
            "A residual network is a sum over many paths, of which the short ones count (Veit et al., 2016)",
            f"of {trained['residual']['count']:,} paths, those through {within} of {depth} blocks at most "
            "bring 90% of the gradient",
            holds(within <= depth / 2),
        ),
        Claim(
            "A block can be deleted, a layer of a plain network cannot (Veit et al., 2016)",
            "correct: " + ", ".join(f"{name} {written(-share, '+.1%')}" for name, share in lost.items()),
            holds(max(3 * max(missed), rows["plain"]["correct"] / 2) < lost["plain"]),
        ),
        Claim(
            "With a shortcut the derivative is 1 + …, so nothing is lost (many articles)",
            "smallest σ: " + ", ".join(f"{name} {power(value)}" for name, value in smallest.items() if name != "plain"),
            holds(
                min(smallest["residual-relu"], smallest["residual"], smallest["dense"]) > 0.01,
                min(smallest["residual"], smallest["dense"]) > 0.01,
                "no activation is on the shortcut",
            ),
        ),
        Claim(
            "A gradient that keeps its norm is healthy (after He et al., 2015)",
            f"plain: {written(plain['decades'], '.1f')} decades, "
            f"but {kept} of {width} directions keep a hundredth of their length",
            holds(kept > width / 2),
        ),
        Claim(
            "In a DenseBlock most of the gradient comes straight from the loss (after Huang et al., 2017)",
            f"{direct:.0%} of the gradient passes one stage at most, half of it at most "
            f"{int(np.argmax(np.cumsum(trained['dense']['parts']) >= 0.5))}",
            holds(direct > 0.5),
        ),
    ]


def run(
    depth: Annotated[int, "blocks"] = 20,
    width: Annotated[int, "units"] = 32,
    epochs: Annotated[int, "passes through the data"] = 20,
    seed: Annotated[int, "first weights, held-out images, order of training"] = 0,
) -> Result:
    """Look at new networks, train them, look again, and delete one block after the other."""
    at_least(depth=(depth, 2), width=(width, 2), epochs=(epochs, 1), seed=(seed, 0))
    images = digits(seed)

    def measure(name: str) -> dict[str, Any]:
        rng = np.random.default_rng(seed)
        model = network(name, depth, width, rng)
        row: dict[str, Any] = {"new": probe(model, images)}
        fit(model, Adam(model.parameters(), lr=0.001), images, epochs, rng)
        shorter = (Sequential(*model[:k], deleted(model[k]), *model[k + 1 :]) for k in range(1, depth + 1))
        row |= {"trained": probe(model, images), "correct": correct(model, images)}
        return row | {"without": [correct(fewer, images) for fewer in shorter]}

    rows = measured(measure, BLOCKS)
    complete = len(rows) == len(BLOCKS)
    note = f"{images.note}; {depth} blocks of {width} units, {epochs} epochs"
    said = claims(rows, depth) if complete else []
    return Result(f"{note}\n\n{report(rows)}", draw(rows), {"rows": rows}, said, complete)
