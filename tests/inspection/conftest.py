"""Small nets to look at: a few fixed ones, and those of every kind and of random shape to prove things on."""

from types import SimpleNamespace

import numpy as np
import pytest

import minigrad as mg
from layers import GRU, LSTM, RNN, BatchNorm, Dense, DenseBlock, LayerNorm, Residual, Sequential

SMOOTH = ["sigmoid", "tanh", "softplus", "silu", "gelu"]
RECURRENT = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
KINDS = ["mlp", "classifier", "residual", "residual_after", "batch_norm", "layer_norm", "dense_block", *RECURRENT]


def body(kind, width, depth, activation, rng):
    """The hidden layers of a net."""
    for _ in range(depth):
        dense = Dense(width, width, activation, rng=rng)
        if kind == "residual":
            yield Residual(dense, Dense(width, width, rng=rng))
        elif kind == "residual_after":
            yield Residual(dense, Dense(width, width, rng=rng), after=activation)
        elif kind == "batch_norm":
            yield from (dense, BatchNorm(width))
        elif kind == "layer_norm":
            yield from (dense, LayerNorm(width))
        elif kind == "dense_block":
            yield DenseBlock(dense, Dense(2 * width, 2, activation, rng=rng))
            yield Dense(2 * width + 2, width, rng=rng)
        else:
            yield dense


def build(kind, seed=0, dtype=np.float64, activations=SMOOTH):
    """A net with its input, its target and its loss; all sizes, values and the activation depend on the seed."""
    mg.set_default_dtype(dtype)
    rng = np.random.default_rng(seed)
    batch, width, depth = (int(n) for n in rng.integers((3, 2, 1), (6, 6, 5)))
    if kind in RECURRENT:
        shape = batch, int(rng.integers(2, 7)), int(rng.integers(1, 4))
        hidden = [RECURRENT[kind](shape[2], width, layers=int(rng.integers(1, 3)), rng=rng)]
    else:
        shape = batch, width
        hidden = list(body(kind, width, depth, str(rng.choice(activations)), rng))
    model = Sequential(*hidden, Dense(width, 3, rng=rng)).astype(dtype)
    for parameter in model.parameters():  # no bias is 0
        parameter.data += 0.1 * rng.normal(size=parameter.shape)
    x = mg.tensor(rng.normal(size=shape), dtype=dtype, requires_grad=True, name="x")
    target = rng.normal(size=(batch, 3)).astype(dtype)
    y = model(x)
    loss = mg.cross_entropy(y, np.argmax(target, axis=1)) if kind == "classifier" else mg.mse(y, target)
    return SimpleNamespace(kind=kind, model=model, x=x, target=target, loss=loss, leaves=[x, *model.parameters()])


@pytest.fixture(autouse=True)
def _with_kernels():
    """Never run definitions in place of kernels, whatever the environment says: there would be nothing to open."""
    if mg.kernels.choice() != "definition":
        yield
    else:
        with mg.kernels.use("numpy"):
            yield


@pytest.fixture
def model():
    """Three layers, a residual one in the middle."""
    return Sequential(Dense(3, 4, "sigmoid", rng=0), Residual(Dense(4, 4, "tanh", rng=1)), Dense(4, 2, rng=2))


@pytest.fixture
def x():
    """A batch for `model`."""
    return mg.tensor(np.random.default_rng(0).normal(size=(5, 3)), requires_grad=True, name="x")


@pytest.fixture
def trace(model, x):
    """The trace of a loss of `model`."""
    return mg.trace(mg.mse(model(x), np.zeros((5, 2))))


@pytest.fixture
def neuron():
    """tanh(w·x) of two numbers: x, w and the trace."""
    x = mg.tensor(2.0, requires_grad=True, name="x")
    w = mg.tensor(-1.0, requires_grad=True, name="w")
    return x, w, mg.trace(mg.tanh(w * x))


@pytest.fixture
def make_net():
    """`make_net(kind, seed, dtype, activations)`."""
    return build


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(params=[np.float64, np.float32], ids=["float64", "float32"])
def dtype(request):
    return request.param


@pytest.fixture(params=[1, 2], ids="seed{}".format)
def net(request, kind, dtype):
    """Every kind of net, in both dtypes, of two random shapes."""
    return build(kind, request.param, dtype)


@pytest.fixture
def tolerance(dtype):
    """The relative error allowed where two results are equal on paper."""
    return 1e-12 if dtype is np.float64 else 1e-5
