"""Deep networks with many initialisations and architectures, for the lessons that compare them.

- `RECIPES`: name → how a hidden layer is made, and how its weights start.
- `Comparison(depth, width, epochs, images, seed)`: what they have in common. Its `probe(name)` follows signal and
  gradient through a new network, `train(name)` says what it learns.
- `style(name)`: how a network is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import dropwhile
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from demos.datasets import Dataset
from demos.lesson import COLOURS
from demos.training import fit
from layers import ELU, BatchNorm, Dense, DenseBlock, LeakyReLU, Module, ReLU, Residual, Sequential, Sigmoid, Tanh, init
from minigrad.inspection.ledger import Ledger
from optim import SGD

RATE = 0.004  # best of 0.04, 0.004, 0.0004 for all that learn, except dense-block (0.04) and elu-lsuv (0.0004)
GROWTH = 12  # units that each layer of a dense block adds (Huang et al., 2017)
SMALL = ("residual", "residual-relu")  # with W/√depth the sum over all layers keeps its size (Hayou et al., 2021)

Layer = Callable[[Dense], list[Module]]  # x·W + b → what one layer consists of


def plain(activation: type[Module]) -> Layer:
    """h = φ(x·W + b)."""
    return lambda dense: [dense, activation()]


def normalised(activation: type[Module]) -> Layer:
    """h = φ(BatchNorm(x·W + b)) (Ioffe and Szegedy, 2015)."""
    return lambda dense: [dense, BatchNorm(dense.outputs), activation()]


def residual(dense: Dense) -> list[Module]:
    """h = x + relu(x)·W + b: the shortcut passes x on unchanged (He et al., 2016)."""
    return [Residual(ReLU(), dense)] if dense.inputs == dense.outputs else [dense]


def residual_relu(dense: Dense) -> list[Module]:
    """h = relu(x + x·W + b): the shortcut passes through every ReLU."""
    return [Residual(dense, after="relu")] if dense.inputs == dense.outputs else [dense]


def dense_block(dense: Dense) -> list[Module]:
    """h = [x, relu(x·W + b)]: new features are appended to all earlier ones (Huang et al., 2017)."""
    return [DenseBlock(Sequential(dense, ReLU()))]


RECIPES: dict[str, tuple[Layer, str | Callable]] = {
    "sigmoid-constant": (plain(Sigmoid), partial(init.constant, value=0.01)),
    "sigmoid-uniform": (plain(Sigmoid), "fan_in_uniform"),
    "sigmoid-xavier": (plain(Sigmoid), "xavier_uniform"),
    "tanh-xavier": (plain(Tanh), "xavier_uniform"),
    "relu-xavier": (plain(ReLU), "xavier_uniform"),
    "relu-he": (plain(ReLU), "he_normal"),
    "leaky-he": (plain(LeakyReLU), "he_normal"),
    "sigmoid-batchnorm": (normalised(Sigmoid), "xavier_uniform"),
    "relu-batchnorm": (normalised(ReLU), "he_normal"),
    "residual": (residual, "he_normal"),
    "residual-relu": (residual_relu, "he_normal"),
    "residual-large": (residual, "he_normal"),  # not among SMALL
    "dense-block": (dense_block, "he_normal"),
    "elu-lecun": (plain(ELU), "lecun_normal"),
    "elu-lsuv": (plain(ELU), "orthogonal"),  # then scaled, layer by layer
    "tanh-orthogonal": (plain(Tanh), "orthogonal"),
    "fewer-layers": (plain(Sigmoid), "xavier_uniform"),  # two at most
}


def style(name: str) -> dict[str, Any]:
    """A colour per activation, a line style per initialisation or architecture."""
    colours = {"sigmoid": 0, "tanh": 2, "relu": 1, "leaky": 4, "residual": 6, "elu": 4, "dense": 3, "fewer": 5}
    lines = {"constant": ":", "large": ":", "uniform": "--", "relu": "--", "batchnorm": "-.", "lsuv": ":"}
    lines["orthogonal"] = "--"
    first, _, second = name.partition("-")
    dashed = name in ("relu-xavier", "leaky-he")  # a solid line would look like relu-he, or hide it
    return {"color": COLOURS[colours[first]], "linestyle": "--" if dashed else lines.get(second, "-"), "label": name}


class Comparison(NamedTuple):
    """What all networks of a comparison have in common."""

    depth: int
    width: int
    epochs: int
    images: Dataset
    seed: int

    def network(self, name: str, depth: int, rng: np.random.Generator) -> Sequential:
        """`depth` hidden layers by the recipe `name`, and a linear layer on top."""
        layer, start = RECIPES[name]
        parts, size = [], self.images.x.shape[1]
        depth = min(depth, 2) if name == "fewer-layers" else depth
        for _ in range(depth):
            dense = Dense(size, GROWTH if name == "dense-block" else self.width, init=start, rng=rng)
            if name in SMALL:
                dense.weight.data /= math.sqrt(depth)
            parts += layer(dense)
            size = size + GROWTH if name == "dense-block" else self.width
        model = Sequential(*parts, Dense(size, 10, rng=rng))
        if name == "elu-lsuv":
            init.lsuv(model, self.images.x[:256], rng)
        return model

    def probe(self, name: str, depth: int | None = None) -> dict[str, Any]:
        """Signal and gradient at each layer of a new network, and the chain of products to its first weight.

        The layers are z1 = x·W1, z2 … and the output y. Decades: log₁₀ ‖∂L/∂z1‖/‖∂L/∂y‖, split by cause in the ledger.
        """
        model = self.network(name, depth or self.depth, np.random.default_rng(self.seed))
        with np.errstate(all="ignore"):  # a gradient may be 0, or too large
            trace = mg.trace(mg.cross_entropy(model(self.images.x[:256]), self.images.y[:256]))
            layers = [node for node in trace.nodes if node.kind == "weight"]
            gradient, chain = np.array([node.norm for node in layers]), trace.chain(to=model.parameters()[0])
            behind = dropwhile(lambda factor: factor.kind != "weight", chain.factors)  # the loss stands before y
            return {
                "signal": np.array([np.sqrt(np.mean(np.square(node.value))) for node in layers]),
                "gradient": gradient,
                "decades": float(np.log10(gradient[0] / gradient[-1])),
                "chain": chain,
                "ledger": Ledger([*behind]).total,
            }

    def train(self, name: str, rate: float = RATE) -> tuple[float, float]:
        """Loss and share correct of the network `name` after training: see `fit`."""
        rng = np.random.default_rng(self.seed)
        model = self.network(name, self.depth, rng)
        return fit(model, SGD(model.parameters(), lr=rate, momentum=0.9), self.images, self.epochs, rng)
