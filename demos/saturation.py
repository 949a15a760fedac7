"""Why does a unit stop learning? Flat places of activations, and four ways in which a gradient can be nothing.

Exactly 0 (a dead ReLU), tiny, underflowed to 0 in float32, and not computed (—) look alike but need other remedies.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

import minigrad as mg
from demos.datasets import Dataset, digits
from demos.lesson import COLOURS, Claim, Result, at_least, holds, picture, table
from layers import BatchNorm, Dense, Dropout, LeakyReLU, Module, ReLU, Residual, Sequential, Sigmoid, Tanh, init
from minigrad.arrays import length
from minigrad.inspection.draw.matrices import unit_map, units_of
from optim import SGD, Adam

ACTIVATIONS = ("sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "silu", "gelu", "softsign", "hard_tanh")
ALIVE = 1e-6  # a weight that a step changes by a smaller share than this does not learn


class Net(NamedTuple):
    """A network of 30 units a layer and how it takes its first step. With these defaults it learns."""

    depth: int = 4
    activation: type[Module] = ReLU
    start: str | Callable = "he_normal"
    bias: float = 0.0  # of the first layer
    dtype: type = np.float64
    cut: bool = False  # whether the first layer is detached from the graph
    layer: Callable = lambda dense, activation: [dense, activation]
    clip: float = math.inf
    optimizer: Callable = partial(SGD, lr=0.1)

    def loss(self, images: Dataset, seed: int) -> tuple[mg.Tensor, Sequential]:
        rng = np.random.default_rng(seed)
        denses = [Dense(30 if i else 64, 30, init=self.start, rng=rng) for i in range(self.depth)]
        denses[0].bias.data += self.bias
        parts = [part for dense in denses for part in self.layer(dense, self.activation())]
        model = Sequential(*parts, Dense(30, 10, rng=rng)).astype(self.dtype)
        x = images.x[:256].astype(self.dtype)
        y = model[1:](model[0](x).detach()) if self.cut else model(x)
        return mg.cross_entropy(y, images.y[:256]), model

    def moves(self, images: Dataset, seed: int) -> float:
        """‖ΔW1‖/‖W1‖ of the first step; NaN if there is no gradient."""
        loss, model = self.loss(images, seed)
        moved, optimizer = {}, self.optimizer(model.parameters())
        optimizer.listeners.append(lambda p, gradient, change: moved.update({p: length(change)}))
        before = length(model[0].weight.data)
        loss.backward()
        optimizer.step(self.clip)
        return moved.get(model[0].weight, math.nan) / before


NOTHINGS = {
    "dead": Net(bias=-10.0),
    "tiny": Net(20, Sigmoid, "xavier_normal"),
    "underflowed": Net(80, Sigmoid, "xavier_normal", dtype=np.float32),
    "not computed": Net(cut=True),
}
REMEDIES: dict[str, dict[str, Any]] = {
    "none": {},
    "clipping": {"clip": 1.0},
    "Dropout": {"layer": lambda dense, phi: [dense, phi, Dropout(0.5, rng=0)]},
    "Adam": {"optimizer": partial(Adam, lr=0.001)},
    "Adam, eps = 1e−30": {"optimizer": partial(Adam, lr=0.001, eps=1e-30)},
    "float64": {"dtype": np.float64},
    "LeakyReLU, He": {"activation": LeakyReLU, "start": "he_normal"},
    "ReLU, He, b = 0": {"activation": ReLU, "start": "he_normal", "bias": 0.0},
    "BatchNorm": {"layer": lambda dense, phi: [dense, BatchNorm(30), phi]},
    "shortcuts": {"layer": lambda dense, phi: [dense, phi] if dense.inputs == 64 else [Residual(dense, phi)]},
    "not cut off": {"cut": False},
}
MAPS = {
    "tanh": Net(activation=Tanh, start="xavier_normal"),
    "tanh, weights × 8": Net(activation=Tanh, start=partial(init.xavier_normal, gain=8)),
    "ReLU": Net(),
    "ReLU, first bias −3": Net(bias=-3.0),
    "… and BatchNorm": Net(bias=-3.0, **REMEDIES["BatchNorm"]),
}


def shape(name: str) -> dict[str, Any]:
    """An activation from −10 to 10, where its slope is below a tenth of the largest, and where that is 0 in float32."""
    phi, z = getattr(mg, name), mg.tensor(np.linspace(-10, 10, 2001), requires_grad=True)
    far = mg.tensor(np.arange(-20000, 20001, dtype=np.float32) / 100, requires_grad=True)
    (phi(z).sum() + phi(far).sum()).backward()
    zero, steepness = far.data[far.grad == 0], np.abs(z.grad)
    found = {"z": z.data, "value": phi(z.data), "slope": z.grad, "flat": steepness < 0.1 * steepness.max()}
    return found | {"below": max(zero[zero <= 0], default=math.nan), "above": min(zero[zero > 0], default=math.nan)}


def draw(shapes: dict[str, dict], units: dict[str, dict]) -> Figure:
    figure = picture(14, 9, "grey bands: saturated; cells are units, rows layers: yellow mostly saturated, × always.")
    axes = figure.subplots(3, 5)
    for ax, (name, found) in zip(axes[:2].flat, shapes.items(), strict=True):
        ax.fill_between(found["z"], -2, 3, where=found["flat"], color="0.9")
        ax.plot(found["z"], found["value"], "-", color=COLOURS[0], label="φ")
        ax.plot(found["z"], found["slope"], "--", color=COLOURS[1], label="φ'")
        ax.set(title=name, ylim=(-1.2, 2.2))
    axes[0, 0].legend()
    for ax, (name, layers) in zip(axes[2], units.items(), strict=True):
        unit_map(layers, ax=ax)
        ax.collections[0].colorbar.remove()
        ax.texts[-1].remove()  # its own sentence on how to read it
        ax.set_title(name, loc="left")
        ax.set_xticks([])
    return figure


def claims(shapes: dict, units: dict, moved: dict, revived: dict) -> list[Claim]:
    (low, *_, high), (*_, slope), last = shapes["relu"]["slope"], shapes["sigmoid"]["slope"], shapes["sigmoid"]["above"]
    healthy = np.concatenate([*units["ReLU"].values()])
    off, dead = np.mean(healthy), np.mean(healthy == 1)
    adam, finer = moved["Adam"]["tiny"], moved["Adam, eps = 1e−30"]["tiny"]
    return [
        Claim("ReLU does not saturate (Krizhevsky et al., 2012)", f"ReLU'(10) = {high:g}, ReLU'(−10) = {low:g}",
              holds(low == 1, high == 1, "z > 0")),
        Claim("σ' gets small, but never 0 (calculus)",
              f"σ'(10) = {slope:.1e}; in float32 it is exactly 0 from z = {last:.1f} on",
              holds(math.isnan(last), slope > 0, f"z < {last:.1f} in float32")),
        Claim("Outputs of 0 mean dead units (rules of thumb)",
              f"a healthy ReLU network: {off:.0%} of outputs are 0, {dead:.0%} of units dead", holds(off < 2 * dead)),
        Claim("Clipping and Dropout help against vanishing gradients (some articles)",
              f"of 4 kinds of nothing clipping revives {len(revived['clipping'])}, Dropout {len(revived['Dropout'])}",
              holds(bool(revived["clipping"] and revived["Dropout"]))),
        Claim("Adam makes up for tiny gradients: it divides by their size (common argument)",
              f"‖ΔW1‖/‖W1‖ = {adam:.0e}; with eps = 1e−30: {finer:.0e}",
              holds(adam >= ALIVE, finer >= ALIVE, "eps is below the gradient")),
    ]  # fmt: skip


def run(seed: Annotated[int, "weights and images"] = 0) -> Result:
    """Look at activations and at units, then try every remedy on every kind of nothing."""
    at_least(seed=(seed, 0))
    images, shapes, rows, moved = digits(seed), {name: shape(name) for name in ACTIVATIONS}, [], {}
    for name, s in shapes.items():
        rows += [(name, *s["value"][[0, -1]], *s["slope"][[0, -1]], f"{s['flat'].mean():.0%}", s["below"], s["above"])]
    units = {name: units_of(mg.trace(net.loss(images, seed)[0])) for name, net in MAPS.items()}
    for remedy, changes in REMEDIES.items():
        moved[remedy] = {name: net._replace(**changes).moves(images, seed) for name, net in NOTHINGS.items()}
    revived = {remedy: [name for name, x in row.items() if x >= ALIVE] for remedy, row in moved.items()}
    tried = [(remedy, *row.values(), ", ".join(revived[remedy])) for remedy, row in moved.items()]
    loss, model = NOTHINGS["tiny"].loss(images, seed)
    report = [
        "1  Activations; saturated: the share of −10 … 10 in which φ' is below a tenth of its maximum",
        table(("φ", "φ(−10)", "φ(10)", "φ'(−10)", "φ'(10)", "saturated", "φ' = 0 in float32: z ≤", "z ≥"), rows),
        f"2  A gradient that is tiny, but not 0\n\n{mg.trace(loss).chain(to=model[0].weight)}",
        f"3  ‖ΔW1‖/‖W1‖ of the first step; W1 learns if it is {ALIVE:.0e} or more",
        table(("remedy", *NOTHINGS, "revives"), tried),
    ]
    numbers = {"shapes": shapes, "units": units, "moved": moved, "revived": revived}
    return Result("\n\n".join(report), draw(shapes, units), numbers, claims(**numbers))
