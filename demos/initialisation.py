"""How should weights start? Six ways, under three activations, followed through the layers and then trained.

Layer by layer z = h·W + b and h = φ(z). The mean square of z is followed forward and that of ∂L/∂z backward, and both
are predicted from n·Var(W) and φ alone. And how many units of a layer differ from each other at all?
"""

from __future__ import annotations

import math
from itertools import pairwise, product
from typing import Annotated

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from demos.datasets import Dataset, digits
from demos.lesson import COLOURS, Claim, Result, at_least, each, holds, picture, table
from demos.training import fit
from layers import Dense, Sequential, init
from optim import SGD

QUICK = {"depth": 12, "epochs": 4}
STARTS = {  # name → W as a function of its shape (n, m) and of random numbers
    "constant 1/n": lambda shape, rng: init.constant(shape, value=1 / shape[0]),
    "uniform ±1": lambda shape, rng: init.uniform(shape, rng, low=-1, high=1),
    "fan-in uniform": init.fan_in_uniform,
    "Xavier": init.xavier_uniform,
    "He": init.he_normal,
    "orthogonal": init.orthogonal,
}
ACTIVATIONS = ("sigmoid", "tanh", "relu")
HEADS = ("φ", "start", "n·Var(W)", "z²", "predicted", "(∂L/∂z)²", "predicted", "units", "trained", "correct")
KEY = """z², (∂L/∂z)²: factor by which each layer multiplies the mean square of z (forward) and ∂L/∂z (backward); units:
how many units of the last hidden layer differ on any image, new and trained; —: diverged, or W is not random"""


def network(activation: str, start: str, top: str, depth: int, width: int, rng: np.random.Generator) -> Sequential:
    """`depth` hidden layers initialised by `start`, and a linear layer initialised by `top`."""
    hidden = [Dense(n, m, activation, init=STARTS[start], rng=rng) for n, m in pairwise([64, *depth * [width]])]
    return Sequential(*hidden, Dense(width, 10, init=STARTS[top], rng=rng))


def predicted(activation: str, layers: Sequential, first: float, last: float) -> tuple[np.ndarray, np.ndarray]:
    """z² ← n·Var(W)·E φ(z)² forward from `first`, (∂L/∂z)² ← n·Var(W)·E φ'(z)² backward from `last`; z is normal."""
    points = np.linspace(-8, 8, 4000)
    density = np.exp(-np.square(points) / 2)
    forward, slopes = [first], []
    for layer in layers:
        z = mg.tensor(math.sqrt(forward[-1]) * points, requires_grad=True)
        h = getattr(mg, activation)(z)
        (slope,) = mg.grad(h.sum(), [z])
        w = layer.weight.data
        scale = layer.inputs * np.var(w - w[0, 0]) or math.nan  # the variance of a constant is 0 but for rounding
        forward.append(scale * np.average(np.square(h.data), weights=density))
        slopes.append(scale * np.average(np.square(slope.data), weights=density))
    return np.array(forward), last * np.append(np.cumprod(slopes[::-1])[::-1], 1)


def distinct(model: Sequential, images: Dataset) -> int:
    """How many units of the last hidden layer differ from each other in six digits, on any image."""
    h = model[:-1](images.x[:256]).data
    return np.unique((h / (np.abs(h).max() or 1)).round(6), axis=1).shape[1]


@np.errstate(all="ignore")  # what explodes may overflow
def measure(activation: str, start: str, top: str, depth: int, width: int, epochs: int, seed: int) -> dict:
    """One network: measured and predicted mean squares at its hidden layers, distinct units, share correct."""
    rng = np.random.default_rng(seed)
    images, model = digits(rng), network(activation, start, top, depth, width, rng)
    trace = mg.trace(mg.cross_entropy(model(images.x[:256]), images.y[:256]))
    hidden = [node for node in trace.nodes if node.kind == "weight"][:-1]
    forward, backward = np.transpose([(np.mean(np.square(z.value)), np.mean(np.square(z.grad))) for z in hidden])
    theory = predicted(activation, model[1:-1], forward[0], backward[-1])
    row = {"forward": forward, "backward": backward, "theory": theory, "chain": str(trace.chain(to=model[0].weight))}
    ends = [x[[0, -1]] for x in (forward, theory[0], backward[::-1], theory[1][::-1])]
    row["factors"] = [float((last / first) ** (1 / (depth - 1))) for first, last in ends]
    row |= {"scale": width * float(np.var((w := model[1].weight.data) - w[0, 0])), "units": distinct(model, images)}
    loss, row["correct"] = fit(model, SGD(model.parameters(), lr=0.003, momentum=0.9), images, epochs, rng)
    return row | {"trained": math.nan if math.isinf(loss) else distinct(model, images)}


def draw(rows: dict[tuple, dict]) -> Figure:
    """Signal above, gradient below, a column for each activation."""
    how_to_read = (
        "a straight line is the same factor at every layer, and flat in both rows is healthy; signals go from left to "
        "right, gradients from right to left; black dots are predicted from n·Var(W) and φ."
    )
    figure = picture(13, 7.5, how_to_read)
    grid = figure.subplots(2, 3, sharex=True)
    for (activation, start), row in rows.items():
        column, k = ACTIVATIONS.index(activation), list(STARTS).index(start)
        for ax, values, theory in zip(grid[:, column], (row["forward"], row["backward"]), row["theory"], strict=True):
            at = np.arange(1, len(values) + 1)
            ax.plot(at, values, ("-", "--", ":", "-", "-.", "--")[k], color=COLOURS[k], label=start)
            ax.plot(at, theory, ".", color="black", ms=2.5)
            ax.set(yscale="log", xlabel="hidden layer")
        grid[0, column].set_title(activation)
    grid[0, 0].set_ylabel("mean square of z")
    grid[1, 0].set_ylabel("mean square of ∂L/∂z")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), ncols=6, loc="outside upper center", frameon=False)
    return figure


def claims(rows: dict[tuple, dict], constant: dict, width: int) -> list[Claim]:
    """What is often said, against the networks of which it is said; in `constant` all layers start constant."""
    trained = max(rows[activation, "constant 1/n"]["trained"] for activation in ACTIVATIONS)
    factors = np.array([row["factors"] for row in rows.values() if all(x > 0 for x in row["factors"])])
    error = float(np.abs(np.log10(factors[:, ::2] / factors[:, 1::2])).max())
    chance = math.sqrt(5 / width / (len(constant["forward"]) - 1)) / math.log(10)  # Var ln ‖ReLU(z)‖² is 5/n a layer
    keeps = {key: [1 / 1.4 < factor < 1.4 for factor in row["factors"][::2]] for key, row in rows.items()}
    back = {key: backward for key, (forward, backward) in keeps.items() if forward and rows[key]["scale"] > 0}
    relu = [backward for (activation, _), backward in back.items() if activation == "relu"]
    both = {key: rows[key]["correct"] for key, kept in keeps.items() if all(kept)}
    differ = [correct for key, correct in both.items() if rows[key]["scale"] > 0]
    said = [
        Claim(
            "Units that start alike stay alike (Goodfellow et al., 2016, 8.4)",
            f"up to {trained} distinct units once trained, {constant['trained']} if the top layer starts constant too",
            holds(trained == 1, constant["trained"] == 1, "the top layer is constant too"),
        ),
        Claim(
            "n·Var(W) and φ tell how signal and gradient grow (Poole et al., 2016; Schoenholz et al., 2017)",
            f"off by at most {error:.3f} decades per layer; chance moves ReLU nets by {chance:.3f}, wider ones less",
            holds(error < 3 * chance),
        ),
        Claim(
            "Where the signal keeps its size, the gradient does too (He et al., 2015)",
            f"{sum(back.values())} of {len(back)} such nets with random W, {sum(relu)} of {len(relu)} with ReLU",
            holds(all(back.values()), min(relu, default=False), "φ is ReLU"),
        ),
        Claim(
            "Where both keep their size, the net learns: over 70% correct (after Glorot and Bengio, 2010)",
            "; ".join(f"{activation} {start} {correct:.0%}" for (activation, start), correct in both.items()),
            holds(min(both.values(), default=0) > 0.7, min(differ, default=0) > 0.7, "W is random"),
        ),
    ]
    return said[:2] + [claim for claim, nets in zip(said[2:], (back, both), strict=True) if nets]


def run(
    depth: Annotated[int, "hidden layers"] = 20,
    width: Annotated[int, "units in each"] = 100,
    epochs: Annotated[int, "passes through the images"] = 8,
    seed: Annotated[int, "first weights, held-out images, order of training"] = 0,
) -> Result:
    """Start every network, follow signal and gradient, train it."""
    at_least(depth=(depth, 2), width=(width, 2), epochs=(epochs, 0), seed=(seed, 0))
    kinds = [("tanh", "constant 1/n", "constant 1/n"), *product(ACTIVATIONS, STARTS, ["Xavier"])]
    found = each(lambda kind: measure(*kind, depth, width, epochs, seed), kinds, "networks")
    rows = {kind[:2]: row for kind, row in zip(kinds[1:], found[1:], strict=False)}
    lines = []
    for key, row in rows.items():
        cells = [*(f"{x:.2g}" for x in (row["scale"], *row["factors"])), str(row["units"]), str(row["trained"])]
        lines.append([*key, *(cell.replace("nan", "—") for cell in cells), f"{row['correct']:.0%}"])
    text = f"{depth} hidden layers of {width} units\n\n{table(HEADS, lines)}\n\n{KEY}"
    if len(found) < len(kinds):
        return Result(text, draw(rows), {"rows": rows}, complete=False)
    text += f"\n\nWhat ReLU takes, He's weights give back:\n\n{rows['relu', 'He']['chain']}"
    return Result(text, draw(rows), {"rows": rows, "constant": found[0]}, claims(rows, found[0], width))
