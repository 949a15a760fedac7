"""Example inputs for every op, on which the checks of ops, of mutated ops and of kernels run."""

import importlib
import pkgutil

import numpy as np
import pytest

import minigrad.ops
from minigrad.op import Op

draw = np.random.default_rng(7)


def numbers(*shape, low=-2.0, high=2.0):
    """Random multiples of 0.01 plus 0.003, so that none lies at a kink."""
    return np.floor(draw.uniform(low, high, shape) * 100) / 100 + 0.003


def positive(*shape):
    return numbers(*shape, low=0.3, high=3)


def every_op():
    """Name → op for all ops in the modules of minigrad.ops, in the order of definition."""
    modules = [importlib.import_module(f"minigrad.ops.{m.name}") for m in pkgutil.iter_modules(minigrad.ops.__path__)]
    return {op.name: op for module in modules for op in vars(module).values() if isinstance(op, Op)}


EVERYWHERE = """negative square abs exp expm1 sin cos tan arctan sinh cosh arcsinh reciprocal sigmoid tanh relu
    softplus silu normal_cdf gelu softsign hard_tanh"""

# Name → list of (inputs, parameters)
EXAMPLES = {
    **{name: [([numbers(3, 4)], {})] for name in EVERYWHERE.split()},
    **{name: [([positive(3, 4)], {})] for name in ["sqrt", "log", "log1p", "log2", "log10"]},
    **{name: [([numbers(3, 4, low=-0.9, high=0.9)], {})] for name in ["arcsin", "arccos", "arctanh"]},
    "arccosh": [([positive(3, 4) + 1], {})],
    **{
        name: [([numbers(3, 4), numbers(4)], {}), ([numbers(3, 1), numbers(1, 4)], {})]
        for name in ["add", "subtract", "multiply", "divide", "logaddexp", "arctan2", "hypot", "maximum", "minimum"]
    },
    "power": [
        ([positive(3, 4), numbers(4)], {}),
        ([numbers(3), np.array(3, np.int8)], {}),
        ([np.array([0.0, 0.0, -1.2, 0.7]), np.array([2, 0, 2, -1], np.int8)], {}),
    ],
    "leaky_relu": [([numbers(3, 4)], {}), ([numbers(3)], {"slope": 0.3})],
    "elu": [([numbers(3, 4)], {}), ([numbers(3)], {"alpha": 1.7})],
    "where": [([np.array([True, False, True, False]), numbers(3, 4), numbers(3, 1)], {})],
    "clip": [([numbers(3, 4), np.array(-0.7), numbers(4, low=0.2, high=1)], {})],
    "astype": [([numbers(3)], {"dtype": np.float64})],
    # reductions
    **{
        name: [
            ([numbers(2, 3)], {}),
            ([numbers(2, 3, 2)], {"axis": 1}),
            ([numbers(2, 3, 2)], {"axis": (0, -1), "keepdims": True}),
        ]
        for name in ["sum", "mean", "prod", "max", "min", "norm", "logsumexp"]
    },
    **{
        name: [([numbers(2, 3)], {}), ([numbers(2, 3)], {"axis": 1, "ddof": 1}), ([numbers(3, 2, 2)], {"axis": (0, 2)})]
        for name in ["var", "std"]
    },
    "softmax": [([numbers(2, 3)], {}), ([numbers(2, 3)], {"axis": 0})],
    "log_softmax": [([numbers(2, 3)], {}), ([numbers(2, 3)], {"axis": 0})],
    "cumsum": [([numbers(2, 3)], {}), ([numbers(2, 3)], {"axis": 1})],
    # shaping
    "reshape": [([numbers(2, 3)], {"shape": (3, -1)})],
    "ravel": [([numbers(2, 3)], {})],
    "expand_dims": [([numbers(2, 3)], {"axis": 1})],
    "squeeze": [([numbers(2, 1, 3)], {"axis": 1})],
    "transpose": [([numbers(2, 3)], {}), ([numbers(2, 3, 4)], {"axes": (1, 2, 0)})],
    "swapaxes": [([numbers(2, 3, 2)], {"axis1": 0, "axis2": 2})],
    "moveaxis": [([numbers(2, 3, 4)], {"source": 0, "destination": 2})],
    "broadcast_to": [([numbers(2, 1)], {"shape": (3, 2, 4)})],
    "flip": [([numbers(2, 3)], {}), ([numbers(2, 3)], {"axis": 1})],
    "roll": [([numbers(5)], {"shift": 2}), ([numbers(2, 3)], {"shift": 1, "axis": 1})],
    "triu": [([numbers(3, 3)], {}), ([numbers(3, 3)], {"k": 1})],
    "tril": [([numbers(3, 3)], {}), ([numbers(3, 3)], {"k": -1})],
    "getitem": [
        ([numbers(3, 4)], {"index": (slice(1, None), 2)}),
        ([numbers(4)], {"index": np.array([0, 2, 2])}),
        ([numbers(4)], {"index": np.array([True, False, True, True])}),
    ],
    "scatter": [([numbers(3)], {"index": np.array([0, 2, 2]), "shape": (4,)})],
    "pad": [([numbers(2, 3)], {"widths": [(1, 0), (2, 1)], "value": 0.5})],
    "concatenate": [([numbers(2, 2), numbers(2, 3), numbers(2, 2)], {"axis": 1, "starts": [0, 2, 5, 7]})],
    "stack": [([numbers(2, 3), numbers(2, 3)], {"axis": 1})],
    # linear
    "matmul": [
        ([numbers(3, 3), numbers(3, 3)], {}),
        ([numbers(2, 3), numbers(3, 4)], {}),
        ([numbers(2, 2, 3), numbers(3, 2)], {}),
        ([numbers(2, 1, 2, 3), numbers(3, 3, 2)], {}),
        ([numbers(3), numbers(3)], {}),
        ([numbers(3), numbers(2, 3, 2)], {}),
        ([numbers(2, 2, 3), numbers(3)], {}),
    ],
    "einsum": [
        ([numbers(2, 3), numbers(3, 2)], {"subscripts": "ij,jk->ik", "optimize": False}),
        ([numbers(3, 3), numbers(3), numbers(2)], {"subscripts": "ii,i,k->k", "optimize": False}),
        ([numbers(2, 1), numbers(2, 3)], {"subscripts": "ij,ij->i", "optimize": False}),
        ([numbers(2, 3), numbers(2, 1)], {"subscripts": "ij,ij->ij", "optimize": False}),
    ],
    # networks
    "cross_entropy": [
        ([numbers(3, 4), np.array([0, 3, 1])], {}),
        ([numbers(3, 4), positive(3, 4)], {"reduction": "none"}),
        ([numbers(3, 4), np.array([0, 3, 1])], {"reduction": "sum"}),
    ],
    **{
        name: [([numbers(2, 3), numbers(2, 3)], {}), ([numbers(2, 3), numbers(2, 3)], {"reduction": "none"})]
        for name in ["mse", "binary_cross_entropy_with_logits", "hinge"]
    },
    "dense": [
        ([numbers(3, 2), numbers(2, 4), numbers(4)], {"activation": "tanh"}),
        ([numbers(3, 3), numbers(3, 3), None], {"activation": "relu"}),
        ([numbers(2, 2, 3), numbers(3, 2), numbers(2)], {}),
    ],
    "batch_norm": [([numbers(4, 3), positive(3), numbers(3)], {})],
    "rnn": [
        ([numbers(2, 2, 1), numbers(2, 2), numbers(1, 2), numbers(2, 2), numbers(2)], {}),
        ([numbers(1, 3, 2), None, numbers(2, 2), numbers(2, 2), numbers(2)], {"activation": "relu"}),
    ],
    "lstm": [
        ([numbers(2, 2, 1), numbers(2, 2), numbers(2, 2), numbers(1, 8), numbers(2, 8), numbers(8)], {}),
        ([numbers(1, 3, 1), None, None, numbers(1, 4), numbers(1, 4), numbers(4)], {}),
    ],
    "gru_gates": [([numbers(2, 6), numbers(2, 6), numbers(2, 2)], {})],
}  # fmt: skip

OPS = every_op()
CASES = [(OPS[name], inputs, params) for name in OPS for inputs, params in EXAMPLES.get(name, [])]
IDS = [f"{name}-{k}" for name in OPS for k in range(len(EXAMPLES.get(name, [])))]


@pytest.fixture(scope="session")
def op_examples():
    """Op → its examples, a list of (inputs, parameters)."""
    return {op: EXAMPLES.get(name, []) for name, op in OPS.items()}


def pytest_generate_tests(metafunc):
    """A test that asks for `each_op` runs once for every op, with `op_example` for every (op, inputs, parameters)."""
    if "each_op" in metafunc.fixturenames:
        metafunc.parametrize("each_op", OPS.values(), ids=OPS)
    if "op_example" in metafunc.fixturenames:
        metafunc.parametrize("op_example", CASES, ids=IDS)
