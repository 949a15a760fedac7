"""Why a deep sigmoid network does not learn, factor by factor, and which remedies work.

Networks of the same depth and width differ in activation, first weights and what is built around a layer
(`demos/deep.py`). Before training, the lesson follows the gradient of each from the output y back to the first layer,
z1 = x·W1, and counts its decades: powers of ten. Then it trains all of them alike on handwritten digits.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from matplotlib.figure import Figure

from demos.datasets import load
from demos.deep import RATE, RECIPES, Comparison, style
from demos.lesson import Claim, Result, at_least, holds, measured, picture, require, table, written

QUICK = {"depth": 20, "epochs": 3}
RAISED = ("sigmoid-xavier", "fewer-layers")  # also trained at higher rates
BETTER = (("tanh-xavier", "tanh-orthogonal"), ("elu-lecun", "elu-lsuv"))  # usual weights, and some said to be better
HEADS = ("network", "‖∂L/∂z1‖", "‖∂L/∂y‖", "decades", "type", "point", "weights", "around", "loss", "correct")
KEY = """decades = log₁₀ ‖∂L/∂z1‖/‖∂L/∂y‖ = the sum of: type (the activation at its best point, σ' = 1/4), point
(what it loses where units really work), weights (Wᵀ; He's give back what ReLU takes), around (BatchNorm, shortcuts)"""


def report(rows: dict[str, dict]) -> str:
    """One line per network: its gradient, what became of it and why, and what it learned."""
    lines = []
    for name, row in rows.items():
        ledger = row["ledger"]
        around = ledger["norm"] + ledger["skip"] + ledger["other"]
        causes = (ledger["activation type"], ledger["operating point"], ledger["weights"], around)
        gradients = (written(row["gradient"][end], ".1e") for end in (0, -1))
        decades = (written(round(x, 2) + 0.0, ".2f") for x in (row["decades"], *causes))
        learned = ("∞", "diverged") if math.isinf(row["loss"]) else (f"{row['loss']:.2f}", f"{row['correct']:.1%}")
        lines.append([name, *gradients, *decades, *learned])
    return f"{table(HEADS, lines)}\n\n{KEY}"


def draw(rows: dict[str, dict], depths: list[int]) -> Figure:
    """Gradient and signal along each network, and what is lost in networks of several depths."""
    how_to_read = (
        "on the left, follow a line from the output (right end) back to the first layer: a straight slope loses "
        "the same factor at every layer; on the right, each dot is a network, and 0 decades is healthy."
    )
    figure = picture(10, 6.5, how_to_read)
    axes = figure.subplot_mosaic([["gradient", "by depth"], ["signal", "legend"]], width_ratios=(1.5, 1))
    for name, row in rows.items():
        layers = np.arange(1, len(row["gradient"]) + 1)
        axes["gradient"].plot(layers, row["gradient"], **style(name))
        axes["signal"].plot(layers, row["signal"], **style(name))
        axes["by depth"].plot(depths, row["by depth"], marker="o", **style(name))
    along = {"yscale": "log", "xticks": range(0, depths[-1] + 1, -(-depths[-1] // 10))}
    axes["gradient"].set(**along, ylabel="‖∂L/∂z‖", title="gradient at each layer before training")
    axes["signal"].set(**along, ylabel="RMS of z", xlabel="layer (the last is the output y)", title="signal")
    axes["by depth"].set(xlabel="hidden layers", ylabel="decades", title="‖∂L/∂z1‖ against ‖∂L/∂y‖", xticks=depths)
    axes["legend"].axis("off")
    axes["legend"].legend(*axes["gradient"].get_legend_handles_labels(), ncols=2, loc="center", frameon=False)
    return figure


def claims(rows: dict[str, dict], depth: int) -> list[Claim]:
    """What is often said, against what was measured; a claim about a network that was not run is left out."""
    absent = {"decades": math.nan, "correct": math.nan, "ledger": {"operating point": math.nan}, "raised": {}}
    every = {name: rows.get(name, absent) for name in RECIPES}
    lost = {name: f"{round(row['decades'], 1) + 0.0:+.1f}".replace("-", "−") for name, row in every.items()}
    right = {name: f"{row['correct']:.0%} correct" if row["correct"] else "diverged" for name, row in every.items()}
    fate = {name: f"{lost[name]} decades, {right[name]}" for name in RECIPES}
    keeps = {name: abs(row["decades"]) < 2 for name, row in every.items()}
    learns = {name: row["correct"] > 0.85 for name, row in every.items()}
    sigmoid, fewer = every["sigmoid-xavier"], every["fewer-layers"]
    layer, working = -sigmoid["decades"] / depth, sigmoid["ledger"]["operating point"] / sigmoid["decades"]
    raised, higher = (", ".join(f"×{k}: {share:.0%}" for k, share in row["raised"].items()) for row in (sigmoid, fewer))
    best = {name: max(every[name]["raised"].values(), default=0) > 0.85 for name in RAISED}
    said = {
        "A sigmoid layer costs at least log₁₀ 4 = 0.60 decades, because σ' ≤ 1/4 (Nielsen, 2015)": (
            f"{layer:.2f} per layer with Xavier's weights, {lost['sigmoid-xavier']} decades in all",
            holds(layer >= math.log10(4), True, "the weights do not make up for it"),
        ),
        "Gradients vanish because units saturate (common explanation)": (
            f"sigmoid-xavier: {working:.0%} of the decades are due to the operating point",
            holds(working > 0.5),
        ),
        "Against vanishing gradients, raise the learning rate (common advice)": (
            f"sigmoid-xavier: {raised or math.nan} correct",
            holds(best["sigmoid-xavier"]),
        ),
        "Start with small weights (older textbooks)": (
            f"sigmoid: ±1/√n {lost['sigmoid-uniform']} decades, Xavier's larger ones {lost['sigmoid-xavier']}",
            holds(every["sigmoid-uniform"]["decades"] > sigmoid["decades"]),
        ),
        "Xavier's weights keep the size of the gradient (Glorot and Bengio, 2010)": (
            f"tanh {lost['tanh-xavier']} decades, sigmoid {lost['sigmoid-xavier']}",
            holds(keeps["sigmoid-xavier"], keeps["tanh-xavier"], "φ'(0) = 1"),
        ),
        "Better first weights: orthogonal (Saxe et al., 2013), scaled by measuring: LSUV (Mishkin and Matas, 2016)": (
            ", ".join(f"{name} {right[name]}" for pair in BETTER for name in pair),
            holds(all(every[better]["correct"] > every[usual]["correct"] for usual, better in BETTER)),
        ),
        "ReLU does away with vanishing gradients (Glorot et al., 2011)": (
            f"He's weights {lost['relu-he']} decades, Xavier's {lost['relu-xavier']}",
            holds(keeps["relu-xavier"], keeps["relu-he"], "the weights are He's"),
        ),
        "ELU learns better than ReLU (Clevert et al., 2016)": (
            f"relu-he {fate['relu-he']}; elu-lecun {fate['elu-lecun']}",
            holds(every["elu-lecun"]["correct"] > every["relu-he"]["correct"]),
        ),
        "A network learns if its gradient arrives (common conclusion)": (
            f"relu-he {fate['relu-he']}; residual {fate['residual']}",
            holds(learns["relu-he"] and learns["residual"]),
        ),
        "BatchNorm solves it (Ioffe and Szegedy, 2015)": (
            f"sigmoid: {fate['sigmoid-batchnorm']}; ReLU: {fate['relu-batchnorm']}",
            holds(learns["relu-batchnorm"], learns["sigmoid-batchnorm"], "the activation is not ReLU"),
        ),
        "Shortcuts solve it (He et al., 2016; Huang et al., 2017)": (
            f"residual {fate['residual']}; residual-large {fate['residual-large']}; dense-block {fate['dense-block']}",
            holds(learns["residual-large"], learns["residual"] and learns["dense-block"], "the blocks start small"),
        ),
        "Use fewer layers (common advice)": (
            f"{min(depth, 2)} layers of sigmoids: {fate['fewer-layers']}; at higher rates {higher or math.nan}",
            holds(learns["fewer-layers"], best["fewer-layers"], "the rate is raised, too"),
        ),
    }
    return [Claim(text, *found) for text, found in said.items() if "nan" not in found[0]]


def run(
    depth: Annotated[int, "hidden layers"] = 50,
    width: Annotated[int, "units in each"] = 100,
    epochs: Annotated[int, "passes through the data"] = 8,
    rows: Annotated[tuple[str, ...], f"which to train, instead of all: {', '.join(RECIPES)}"] = (),
    data: Annotated[Literal["digits", "mnist"], "what to learn"] = "digits",
    data_dir: Annotated[str | None, "folder with MNIST's files"] = None,
    seed: Annotated[int, "first weights, held-out images, order of training"] = 0,
) -> Result:
    """Follow the gradients of new networks, then train them."""
    at_least(depth=(depth, 1), width=(width, 1), epochs=(epochs, 1), seed=(seed, 0))
    require(set(rows) <= set(RECIPES), f"--rows: choose from {', '.join(RECIPES)}")
    nets = Comparison(depth, width, epochs, load(data, data_dir, seed), seed)
    depths = [*(d for d in (5, 10, 20) if d < depth), depth]
    names = [name for name in RECIPES if name in rows or not rows]

    def measure(name: str) -> dict:
        row = nets.probe(name)
        row["chain"] = str(row["chain"])
        row["by depth"] = np.array([nets.probe(name, d)["decades"] for d in depths])
        row["loss"], row["correct"] = nets.train(name)
        row["raised"] = {k: nets.train(name, k * RATE)[1] for k in (10, 100, 1000) if name in RAISED}
        return row

    found = measured(measure, names)
    text = f"{nets.images.note}; {depth} hidden layers of {width} units, {epochs} epochs\n\n{report(found)}"
    if "sigmoid-xavier" in found:
        text += f"\n\nThe chain to the first weight of sigmoid-xavier:\n\n{found['sigmoid-xavier']['chain']}"
    numbers = {"rows": found, "depths": depths}
    return Result(text, draw(found, depths), numbers, claims(found, depth), found.keys() == {*names})
