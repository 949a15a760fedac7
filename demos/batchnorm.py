"""What does BatchNorm do to a gradient, to inputs that are too large, and to a net that is used after training?

In training y = γ·(x − μ)/s + β, with mean μ and deviation s of the batch itself, so every image affects all others.
After `eval()` μ and s are fixed: the running averages that training has left.
"""

from __future__ import annotations

import copy
from itertools import product
from typing import Annotated

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from demos.datasets import Dataset, digits
from demos.lesson import COLOURS, Claim, Result, holds, measured, picture, require, table, written
from demos.training import fit
from layers import BatchNorm, Dense, ReLU, Sequential, Tanh
from minigrad.data import accuracy
from optim import SGD

QUICK = {"epochs": 2}
RATES = (0.02, 0.1, 0.5)
SCALES = {"× 1": 1, "× 16": 16, "× 1/16 … 16": np.geomspace(1 / 16, 16, 64)}  # last: a factor for each pixel
SIZES = (2, 5, 11, 22, 44, 89, 179, 359)  # 359 images in parts that differ by one image at most
PHI = (Tanh, ReLU)
KINDS = ("as they are", "inputs normalised", "BatchNorm")


def jacobian(seed: int) -> dict:
    """∂y/∂x of 8 rows and one feature, in units of γ/s: in training, after `eval()` and by its formula."""
    layer, x = BatchNorm(1), np.random.default_rng(seed).normal(3, 2, (8, 1))
    s = np.sqrt(x.var() + layer.eps)
    training = s * mg.jacobian(layer, x).reshape(8, 8)
    layer.running_mean, layer.running_var = x.mean(axis=0), x.var(axis=0)
    fixed = s * mg.jacobian(layer.eval(), x).reshape(8, 8)
    normal = (x - x.mean()) / s
    formula = np.eye(8) - np.ones((8, 8)) / 8 - normal @ normal.T / 8
    return {"training": training, "eval()": fixed, "error": float(np.abs(training - formula).max())}


def network(activation: type, norm: bool, rng: np.random.Generator) -> Sequential:
    """64 → 64 → 64 → 10, with BatchNorm before the activations or without."""
    hidden = [p for _ in range(2) for p in (Dense(64, 64, rng=rng), *([BatchNorm(64)] if norm else ()), activation())]
    return Sequential(*hidden, Dense(64, 10, rng=rng))


def scaled(images: Dataset, factor: float | np.ndarray, normalise: bool) -> Dataset:
    """Pixels times `factor` (one for all, or one each), on request with mean 0 and deviation 1 in training."""
    x, held_out = factor * images.x, factor * images.x_held_out
    if normalise:  # rarely set pixels have a tiny deviation; dividing by it would make them huge
        mean, deviation = x.mean(axis=0), np.maximum(x.std(axis=0), 0.1 * factor)
        x, held_out = (x - mean) / deviation, (held_out - mean) / deviation
    return images._replace(x=x, x_held_out=held_out)


def inputs(activation: type, scale: str, how: str, epochs: int, seed: int) -> dict:
    """‖∂L/∂W1‖ before training, and the share correct after training at each of RATES."""
    row: dict = {"correct": np.zeros(len(RATES))}
    for k, rate in enumerate(RATES):
        rng = np.random.default_rng(seed)
        images = scaled(digits(rng), SCALES[scale], how == "inputs normalised")
        model = network(activation, how == "BatchNorm", rng)
        mg.cross_entropy(model(images.x[:256]), images.y[:256]).backward()
        row["weight"] = float(np.linalg.norm(model[0].weight.grad))
        row["correct"][k] = fit(model, SGD(model.parameters(), lr=rate, momentum=0.9), images, epochs, rng)[1]
    return row


def correct(model: Sequential, images: Dataset, size: int | None = None, by_class: bool = False) -> float:
    """Share of held-out images correct with the statistics of batches of `size`, or with the running ones if None."""
    model, n = copy.deepcopy(model), len(images.y_held_out)  # a copy, since batches move the running statistics
    order = np.argsort(images.y_held_out, kind="stable") if by_class else np.arange(n)
    model.train() if size else model.eval()
    with mg.no_grad():
        scores = [model(images.x_held_out[part]).numpy() for part in np.array_split(order, n // (size or n))]
    return accuracy(np.concatenate(scores), images.y_held_out[order])


def statistics(epochs: int, seed: int) -> dict:
    """Share correct with running and with batch statistics, and a chain of products through BatchNorm."""
    rng = np.random.default_rng(seed)
    images, model = digits(rng), network(ReLU, True, rng)
    fit(model, SGD(model.parameters(), lr=0.1, momentum=0.9), images, epochs, rng)
    found = {"running": correct(model, images), "mixed": [correct(model, images, size) for size in SIZES]}
    found["sorted"] = [correct(model, images, size, by_class=True) for size in SIZES]
    loss = mg.cross_entropy(model.train()(images.x[:64]), images.y[:64])
    return found | {"chain": str(mg.trace(loss, expand=False).chain(to=model[0].weight))}


def draw(matrix: np.ndarray, use: dict) -> Figure:
    """The Jacobian, and the share correct by size of the batch."""
    figure = picture(11, 5, "left, off the diagonal, images affect each other; right, a curve should reach the line.")
    square, axes = figure.subplots(1, 2)
    figure.colorbar(square.imshow(matrix, cmap="cividis", vmin=-1, vmax=1), ax=square, fraction=0.045)
    square.set(title="∂y/∂x of a batch of 8, in units of γ/s", xlabel="image", ylabel="image")
    axes.axhline(use["running"], color="black", ls="--", label="running statistics")
    for label, style, colour in (("mixed", "o-", COLOURS[0]), ("sorted", "s:", COLOURS[1])):
        axes.plot(SIZES, use[label], style, color=colour, label=f"statistics of the batch, {label}")
    axes.set(xscale="log", ylim=(0, 1.02), xlabel="images in a batch", title="share correct after training")
    axes.set_xticks(SIZES, SIZES)
    axes.minorticks_off()
    axes.legend(frameon=False)
    return figure


def claims(square: dict, rows: dict, use: dict) -> list[Claim]:
    """What is often said, against what was measured."""
    lost, fixed = (int(np.sum(np.linalg.svd(square[mode])[1] < 1e-3)) for mode in ("training", "eval()"))
    right = {(to, how): np.array([rows[φ, to, how]["correct"] for φ in PHI]) for to in SCALES for how in KINDS}
    moved = {(to, how): np.abs(share - right["× 1", how]).max() for (to, how), share in right.items()}
    same, own, bare = moved["× 16", "BatchNorm"], moved["× 1/16 … 16", "BatchNorm"], moved["× 16", "as they are"]
    plain, fast = (right["× 1", how][:, -1] for how in KINDS[1:])
    mixed, by_digit = (np.array(use[key]) - use["running"] for key in ("mixed", "sorted"))
    pairs, ordered, whole = written(mixed[0], "+.0%"), written(by_digit[0], "+.0%"), written(mixed[-1], "+.1%")
    return [
        Claim(
            "BatchNorm multiplies a gradient by γ/s (many summaries)",
            f"{lost} of 8 directions lost in training, {fixed} after eval(); formula right to {square['error']:.0e}",
            holds(lost == 0, fixed == 0, "eval() was called"),
        ),
        Claim(
            "With BatchNorm inputs need no normalisation (after Ioffe and Szegedy, 2015)",
            f"accuracy moves by {same:.1%} for inputs × 16 (without it {bare:.0%}), {own:.0%} for pixels × 1/16 … 16",
            holds(max(same, own) < 0.03, same < 0.03, "all pixels share one scale"),
        ),
        Claim(
            "BatchNorm allows larger rates (Ioffe and Szegedy, 2015)",
            f"rate {RATES[-1]}: tanh {plain[0]:.0%}, with it {fast[0]:.0%}; ReLU {plain[1]:.0%}, with it {fast[1]:.0%}",
            holds(fast[0] > plain[0] + 0.03 and fast[1] > plain[1] + 0.03, fast[1] > plain[1] + 0.03, "φ is ReLU"),
        ),
        Claim(
            "After training, batch statistics do as well as running ones (code that forgets eval())",
            f"accuracy {pairs} in pairs, {ordered} if sorted by digit, {whole} in one batch",
            holds(min(*mixed, *by_digit) > -0.02, mixed[-1] > -0.02, "batches are large and mixed"),
        ),
    ]


def run(
    epochs: Annotated[int, "passes through the images in each training"] = 5,
    seed: Annotated[int, "first weights, held-out images, order of training"] = 0,
) -> Result:
    """The Jacobian, large inputs, and both kinds of statistics."""
    require(epochs >= 1 and seed >= 0, f"--epochs is at least 1 and --seed at least 0, not {epochs} and {seed}")
    square, use, kinds = jacobian(seed), statistics(epochs, seed), list(product(PHI, SCALES, KINDS))
    rows = measured(lambda kind: inputs(*kind, epochs, seed), kinds, "networks")
    cells = ((f"{row['weight']:.2g}", *(f"{share:.1%}" for share in row["correct"])) for row in rows.values())
    lines = [(φ.__name__, scale, how, *row) for (φ, scale, how), row in zip(rows, cells, strict=True)]
    shares = [(name, *(f"{share:.0%}" for share in use[name])) for name in ("mixed", "sorted")]
    text = [
        table(("φ", "inputs", "", "‖∂L/∂W1‖ at first", *(f"correct, rate {rate:g}" for rate in RATES)), lines),
        table(("correct, by the statistics of batches of", *(f"{size}" for size in SIZES)), shares),
        f"The chain through a BatchNorm in training, to the first weight:\n\n{use['chain']}",
    ]
    said = claims(square, rows, use) if len(rows) == len(kinds) else []
    numbers = {"jacobian": square, "rows": rows, "use": use}
    return Result("\n\n".join(text), draw(square["training"], use), numbers, said, bool(said))
