"""Does a batch in parts have the same gradient? And what else may happen to it between `backward()` and the weights?

The lesson adds up the gradients of micro-batches, compares training runs that are said to be equal, and measures how
much of a gradient a limit leaves and how much weight decay takes from weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from demos.datasets import Dataset, digits
from demos.lesson import COLOURS, Claim, Result, holds, measured, picture, require, table
from layers import BatchNorm, Dense, Sequential, Tanh
from optim import SGD, Adam, AdamW, clip_by_global_norm, damp_gradient, l2_penalty

WAYS = {  # name → (sizes of the parts of 256 images, what the mean loss of a part is multiplied by, more layers)
    "4 × 64 images, added": (4 * [64], lambda size: 1, []),
    "4 × 64 images, each loss / 4": (4 * [64], lambda size: 1 / 4, []),
    "192 + 48 + 16 images, each loss / 3": ([192, 48, 16], lambda size: 1 / 3, []),
    "192 + 48 + 16 images, each loss · size/256": ([192, 48, 16], lambda size: size / 256, []),
    "4 × 64 images, each loss / 4, with BatchNorm": (4 * [64], lambda size: 1 / 4, [BatchNorm]),
}
RUNS: dict[str, tuple] = {  # name → (the run that it should equal, optimizer, rate, loss of a batch, L2, weight decay)
    "SGD": ("SGD", SGD, 0.1, "mean", 0, 0),
    "SGD, sum, rate / 64": ("SGD", SGD, 0.1 / 64, "sum", 0, 0),
    "Adam": ("Adam", Adam, 1e-3, "mean", 0, 0),
    "Adam, sum, rate / 64": ("Adam", Adam, 1e-3 / 64, "sum", 0, 0),
    "Adam, sum, same rate": ("Adam", Adam, 1e-3, "sum", 0, 0),
    "SGD, L2": ("SGD, L2", SGD, 0.1, "mean", 0.1, 0),
    "SGD, decay": ("SGD, L2", SGD, 0.1, "mean", 0, 0.1),
    "Adam, L2": ("Adam, L2", Adam, 1e-3, "mean", 0.1, 0),
    "AdamW, decay": ("Adam, L2", AdamW, 1e-3, "mean", 0, 0.1),
}
SCALES = np.geomspace(0.01, 10, 13)  # of gradients


def network(seed: int, between: Sequence[Callable] = ()) -> Sequential:
    """64 → 32 → 10 with tanh, and with the layers `between` before it."""
    rng = np.random.default_rng(seed)
    return Sequential(Dense(64, 32, rng=rng), *(layer(32) for layer in between), Tanh(), Dense(32, 10, rng=rng))


def accumulated(model: Sequential, images: Dataset, sizes: Sequence[int], factor: Callable) -> np.ndarray:
    """The gradient after one `backward()` per part: each adds to the gradient that is there."""
    for part in np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1]):
        (factor(len(part)) * mg.cross_entropy(model(images.x[part]), images.y[part])).backward()
    return np.concatenate([p.grad.ravel() for p in model.parameters()])


def trained(images: Dataset, steps: int, seed: int, name: str) -> np.ndarray:
    """All weights after `steps` steps of the run `name`."""
    _, kind, rate, reduction, penalty, decay = RUNS[name]
    model = network(seed)
    optimizer = kind(model.parameters(), lr=rate, weight_decay=decay)
    for step in range(steps):
        batch = slice(step % 22 * 64, (step % 22 + 1) * 64)
        loss = mg.cross_entropy(model(images.x[batch]), images.y[batch], reduction=reduction)
        optimizer.zero_grad()
        (loss + l2_penalty(optimizer.params, penalty)).backward()
        optimizer.step()
    return np.concatenate([p.data.ravel() for p in optimizer.params])


def distance(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.linalg.norm(x - y) / np.linalg.norm(y))


def limited(limit: Callable, scale: float) -> float:
    """The length that a limit of 1 leaves of a gradient of length `scale`."""
    w = mg.tensor([0.6, 0.8], requires_grad=True)
    w.grad = scale * w.data
    limit([w], 1.0)
    return float(np.hypot(*w.grad))


def decayed_by(kind: type, seed: int) -> np.ndarray:
    """How much weight decay takes in 100 steps from weights of 1, for gradients that are noise of each of SCALES."""
    rng = np.random.default_rng(seed)
    w, decayed = (mg.tensor(np.ones((100, len(SCALES))), requires_grad=True) for _ in range(2))
    optimizer = kind([{"params": [w]}, {"params": [decayed], "weight_decay": 1.0}], lr=0.003, weight_decay=0.0)
    for _ in range(100):
        w.grad = decayed.grad = SCALES * rng.normal(size=w.shape)
        optimizer.step()
    return np.mean(w.data - decayed.data, axis=0)


def draw(limits: dict[str, np.ndarray], decays: dict[str, np.ndarray]) -> Figure:
    """What limits leave of a gradient, and what weight decay takes from weights."""
    how_to_read = "left, the gap between a curve and the grey line is what a limit takes; right, higher is more decay."
    figure = picture(11, 4.5, how_to_read)
    first, second = figure.subplots(1, 2)
    for axes, curves in ((first, limits), (second, decays)):
        for (name, values), colour, line in zip(curves.items(), COLOURS, ("o-", "s--", "^:"), strict=False):
            axes.plot(SCALES, values, line, color=colour, ms=4, label=name)
        axes.legend(frameon=False)
    first.plot(SCALES, SCALES, color="0.7", lw=1, zorder=0)
    first.set(xscale="log", yscale="log", xlabel="‖g‖", title="length of a gradient after a limit of 1")
    second.set(xscale="log", ylim=(0, None), xlabel="deviation of gradients", title="decay of weights of 1")
    return figure


def claims(ways: dict, runs: dict, limits: dict, decays: dict) -> list[Claim]:
    """What is often said, against what was measured."""
    _, equal, unequal, _, mixed = ways.values()
    sums, adam_sums, adam_same, decay, adamw = runs.values()
    ratio, damped = decays["Adam"][-1] / decays["AdamW"][-1], limits["damp_gradient"] / limits["clip_by_global_norm"]
    return [
        Claim(
            "Gradients of micro-batches, each loss divided by their number, add up to the batch's (Ott et al., 2018)",
            f"error {equal:.0e}; with unequal parts {unequal:.0e}, with BatchNorm {mixed:.0e}",
            holds(max(equal, unequal, mixed) < 1e-12, equal < 1e-12, "the parts are equal and no layer mixes images"),
        ),
        Claim(
            "If the loss is a sum instead of a mean, divide the rate by the batch size (common advice)",
            f"weights differ: SGD {sums:.0e}, Adam {adam_sums:.0e}, Adam at the same rate {adam_same:.0e}",
            holds(max(sums, adam_sums) < 1e-4, sums < 1e-4, "the optimizer is SGD"),
        ),
        Claim(
            "L2 regularisation is weight decay (Goodfellow et al., 2016; disputed by Loshchilov and Hutter, 2019)",
            f"weights differ: SGD {decay:.0e}, AdamW {adamw:.0e}; Adam's decay is {ratio:.0%} of AdamW's at large ‖g‖",
            holds(max(decay, adamw) < 1e-4, decay < 1e-4, "the optimizer is SGD"),
        ),
        Claim(
            "Damping is clipping without the corner (common intuition)",
            f"damped / clipped: ×{damped[0]:.2f} if short, ×{min(damped):.2f} at the limit, ×{damped[-1]:.2f} if long",
            holds(min(damped) > 0.9, min(damped[0], damped[-1]) > 0.9, "‖g‖ is far from the limit"),
        ),
    ]


def run(
    steps: Annotated[int, "steps of training in each run"] = 200,
    seed: Annotated[int, "first weights, images, noise"] = 0,
) -> Result:
    """Add up gradients, compare runs, limit gradients, decay weights."""
    require(steps >= 1 and seed >= 0, f"--steps is at least 1 and --seed at least 0, not {steps} and {seed}")
    images, model, ways = digits(seed), network(seed), {}
    for name, (sizes, factor, between) in WAYS.items():
        whole = accumulated(network(seed, between), images, [256], lambda size: 1)
        ways[name] = distance(accumulated(network(seed, between), images, sizes, factor), whole)
    losses = [mg.cross_entropy(model(images.x[k : k + 64]), images.y[k : k + 64]) / 4 for k in range(0, 256, 64)]
    arrived = mg.trace(sum(losses, start=l2_penalty([model[0].weight], 0.1)))[model[0].weight]
    weights = measured(lambda name: trained(images, steps, seed, name), RUNS, "runs")
    runs = {name: distance(w, weights[RUNS[name][0]]) for name, w in weights.items() if name != RUNS[name][0]}
    limits = {f.__name__: np.array([limited(f, x) for x in SCALES]) for f in (clip_by_global_norm, damp_gradient)}
    decays = {kind.__name__: decayed_by(kind, seed) for kind in (SGD, Adam, AdamW)}
    lines = [(name, RUNS[name][0], f"{x:.1e}") for name, x in runs.items()]
    text = [
        table(("gradient of 256 images in parts", "relative error"), [(name, f"{x:.1e}") for name, x in ways.items()]),
        f"The gradient that arrives at the first weight from four parts and an L2 penalty:\n\n{arrived}",
        table(("run", "compared with", f"relative difference of weights after {steps} steps"), lines),
    ]
    said = claims(ways, runs, limits, decays) if len(weights) == len(RUNS) else []
    numbers = {"ways": ways, "runs": runs, "limits": limits, "decays": decays}
    return Result("\n\n".join(text), draw(limits, decays), numbers, said, bool(said))
