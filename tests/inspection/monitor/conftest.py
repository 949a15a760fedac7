"""What the tests of the monitor share: nets, data, the usual training loop, and norms to compare with."""

from importlib.util import find_spec

import numpy as np
import pytest

import minigrad as mg
from layers import CrossEntropy, Dense, Sequential
from optim import clip_by_global_norm

collect_ignore_glob = [] if find_spec("minigrad.inspection.monitor") else ["*"]  # the room was taken out


@pytest.fixture
def data():
    """`data(n, features, classes, seed, dtype)`: random inputs, and a label for each."""

    def data(n=32, features=6, classes=3, seed=0, dtype=None):
        rng = np.random.default_rng(seed)
        return rng.normal(size=(n, features)).astype(dtype or float), rng.integers(0, classes, n)

    return data


@pytest.fixture
def network():
    """`network("tanh", "relu")`: two dense layers with these activations, and one without."""

    def network(*activations, width=8, features=6, classes=3, seed=0, init="he_normal"):
        mg.seed(seed)
        sizes = [features, *[width] * len(activations)]
        hidden = [Dense(a, b, phi, init=init) for a, b, phi in zip(sizes, sizes[1:], activations, strict=False)]
        return Sequential(*hidden, Dense(sizes[-1], classes))

    return network


@pytest.fixture
def train(data):
    """`train(model, optimizer, steps, monitor)`: the usual training loop."""

    def train(model, optimizer, steps, monitor=None, clip=None, x=None, labels=None):
        if x is None:
            x, labels = data()
        for _ in range(steps):
            optimizer.zero_grad()
            CrossEntropy()(model(x), labels).backward()
            if monitor:
                monitor.step()
            if clip:
                clip_by_global_norm(model.parameters(), clip)
            optimizer.step()

    return train


@pytest.fixture
def norm():
    """`norm(x)`, in float64."""
    return lambda x: np.linalg.norm(np.asarray(x, np.float64))
