"""The table of cases: functions and layers with their inputs. Only `make_reference.py` and the tests read it.

An input is `real(3, 4)` or similar, for which `make_reference.py` draws and stores numbers; a list or an array, which
it stores as it is; or a number or None, which stands for itself. Arrays of floats are differentiated, others are not.

Names of functions, layers and arguments are minigrad's; `make_reference.py` knows what PyTorch calls them.
"""

from typing import Any, NamedTuple

import numpy as np

YES, NO = True, False


class Draw(NamedTuple):
    """Uniform random numbers between two bounds."""

    shape: tuple
    low: float = -2.0
    high: float = 2.0


def real(*shape):
    return Draw(shape)


def positive(*shape):
    return Draw(shape, 0.3, 3.0)


def inside(*shape):
    return Draw(shape, -0.9, 0.9)


def above_one(*shape):
    return Draw(shape, 1.1, 4.0)


class Case(NamedTuple):
    """A function or layer by name, its inputs by name (in the order of the call) and the other arguments."""

    name: str
    call: str
    inputs: dict[str, Any]
    options: dict[str, Any]


def stands_for_itself(value):
    return value is None or isinstance(value, (int, float))


def size(value):
    """An input as it appears in the name of a case: 3x4, or the number itself."""
    if stands_for_itself(value):
        return str(value)
    shape = value.shape if isinstance(value, Draw) else np.shape(value)
    return "x".join(map(str, shape)) or "0d"


NAMES = {  # of the inputs; elsewhere x if there is one, otherwise a, b, c
    "clip": "x low high",
    "where": "condition a b",
    "cross_entropy": "logits labels",
    "mse": "predictions targets",
    "hinge": "predictions targets",
    "binary_cross_entropy_with_logits": "z t",
    "dense": "x w b",
    "batch_norm": "x gamma beta",
    "rnn": "x h w_input w_hidden bias",
    "lstm": "x h c w_input w_hidden bias",
}


def op(call, *inputs, note=None, **options):
    """A case of an op; it is named by its note, or else by the sizes of its inputs and by its options."""
    names = "x" if len(inputs) == 1 else " ".join("abcdef"[: len(inputs)])
    names = NAMES.get(call, names).split()[: len(inputs)]
    described = [*map(size, inputs), *(f"{name}={value}" for name, value in options.items())]
    note = " ".join(described) if note is None else note
    return Case(f"{call} {note}".strip(), call, dict(zip(names, inputs, strict=True)), options)


def each(calls, *inputs, **options):
    """The same case of several ops."""
    return [op(call, *inputs, **options) for call in calls.split()]


# Ops

WHERE_DEFINED = {
    real: """exp expm1 sin cos sinh cosh arctan arcsinh tanh sigmoid relu leaky_relu elu softplus silu gelu softsign
        hard_tanh negative square abs""",
    positive: "log log1p log2 log10 sqrt reciprocal",
    inside: "arcsin arccos arctanh",
    above_one: "arccosh",
}
PAIRS = [(real(3, 4), real(3, 4)), (real(3, 1), real(4)), (real(), real(2, 3)), (real(2, 1, 4), real(3, 1))]
LARGE = [-1000.0, -50.0, -5.0, 0.0, 5.0, 50.0, 1000.0]

elementwise = [
    *(case for domain, calls in WHERE_DEFINED.items() for case in each(calls, domain(3, 4), note="")),
    op("tan", Draw((3, 4), -1.3, 1.3), note=""),
    op("reciprocal", [-3.0, -0.5, 0.25, 2.0], note="of both signs"),
    *(case for a, b in PAIRS for case in each("add subtract multiply maximum minimum", a, b)),
    *(case for a, b in PAIRS for case in each("arctan2 hypot logaddexp", a, b)),
    *(op("divide", a, Draw(b.shape, 0.5, 2.0)) for a, b in PAIRS),
    *(op("power", Draw(a.shape, 0.3, 2.0), b) for a, b in PAIRS),
    op("add", real(3), 2.5),
    op("subtract", 2.5, real(3)),
    op("multiply", real(2, 3), -3),
    op("divide", 1, positive(3)),
    op("maximum", real(4), 0.0),
    op("power", real(4), 3),
    op("power", real(4), 1),
    op("power", real(4), 0),
    op("power", positive(4), -1.5),
    op("power", 2.0, real(4)),
    op("power", [0.0, 0.0, 0.0], [1, 2, 3], note="of zeros"),
    op("power", [0.0, -1.5, 2.0], 0, note="0 at 0"),
    op("power", [0.0, 1.0], [2.0, 3.0], note="at 0, by both"),
    op("leaky_relu", real(4), slope=0.3),
    op("elu", real(4), alpha=1.7),
    op("where", np.array([YES, NO, YES, NO]), real(3, 4), real(3, 1)),
    op("where", np.array([[YES], [NO]]), real(3), 1.5),
    op("where", np.array(YES), real(2), real(2, 2)),
    op("clip", real(3, 4), -0.7, 0.9),
    op("clip", real(3, 4), -0.7, None),
    op("clip", real(3, 4), None, 0.9),
    op("clip", real(3, 4), Draw((4,), -1.0, -0.5), Draw((3, 1), 0.5, 1.0)),
    # where exponentials overflow
    *each("sigmoid tanh softplus silu gelu elu softsign", LARGE, note="of large numbers"),
    op("logaddexp", LARGE, LARGE[::-1], note="of large numbers"),
    # at kinks, where minigrad and PyTorch take the same side
    *each("abs relu leaky_relu elu hard_tanh softsign", [-1.0, 0.0, 1.0], note="at kinks"),
    op("clip", [-1.0, 0.0, 1.0], -1.0, 1.0, note="at its bounds"),
    *each("maximum minimum", [1.0, 2.0, 3.0], [1.0, 3.0, 2.0], note="with a tie"),
    *each("maximum(x,x) minimum(x,x) multiply(x,x)", real(3), note=""),
    op("arctan2", [0.0, 0.0, 1.0], [1.0, 0.5, 0.0], note="on the axes"),
]

REDUCED = [
    (real(3, 4), {}),
    (real(5), {"axis": 0}),
    (real(2, 3, 4), {"axis": 1}),
    (real(2, 3, 4), {"axis": (0, -1)}),
    (real(3, 4), {"axis": -1, "keepdims": True}),
    (real(2, 3, 4), {"axis": (2, 0), "keepdims": True}),
    (real(2, 3), {"keepdims": True}),
]
TIES = [[1.0, 3.0, 3.0], [2.0, 2.0, 2.0], [3.0, 0.0, 1.0]]
ZEROS = [[0.0, 2.0, 3.0], [0.0, 0.0, 4.0], [1.0, 2.0, -3.0], [0.0, 0.0, 0.0]]

reductions = [
    *(case for x, o in REDUCED for case in each("sum mean prod max min var std logsumexp norm", x, **o)),
    *each("sum mean prod max min logsumexp", real()),
    *each("var std", real(2, 3), ddof=1),
    *each("var std", real(2, 3, 4), ddof=1, axis=1),
    *each("var std", real(2, 3, 4), ddof=1, axis=(0, 2)),
    *each("max min", TIES, note="with ties"),
    *each("max min", TIES, note="with ties by column", axis=0),
    *each("max min", TIES, note="with ties by row", axis=1),
    op("prod", ZEROS, note="with zeros"),
    op("prod", ZEROS, note="with zeros by column", axis=0),
    op("prod", ZEROS, note="with zeros by row", axis=1),
    op("prod", [[2.0, 0.0, 3.0]], note="with one zero"),
    op("norm", [[3.0, 4.0], [0.0, 0.0]], axis=1, note="of zeros"),
    op("std", [[1.0, 2.0, 4.0], [2.0, 2.0, 2.0]], axis=1, note="of equal numbers"),
    op("logsumexp", [LARGE, LARGE[::-1]], axis=1, note="of large numbers"),
    op("cumsum", real(3, 4)),
    op("cumsum", real(3, 4), axis=0),
    op("cumsum", real(2, 3, 4), axis=-1),
    op("softmax", real(3, 4)),
    op("softmax", real(2, 3, 4), axis=1),
    op("softmax", [LARGE], note="of large numbers"),
    op("log_softmax", real(3, 4)),
    op("log_softmax", real(2, 3, 4), axis=0),
    op("log_softmax", [LARGE], note="of large numbers"),
]

shaping = [
    op("reshape", real(2, 6), shape=(3, -1)),
    op("ravel", real(2, 3)),
    op("expand_dims", real(2, 3), axis=1),
    op("squeeze", real(1, 2, 1, 3)),
    op("squeeze", real(1, 2, 1, 3), axis=2),
    op("transpose", real(2, 3)),
    op("transpose", real(2, 3, 4), axes=(1, 2, 0)),
    op("swapaxes", real(2, 3, 4), axis1=0, axis2=-1),
    op("moveaxis", real(2, 3, 4), source=0, destination=-1),
    op("moveaxis", real(2, 3, 4), source=(0, 1), destination=(2, 0)),
    op("broadcast_to", real(2, 1), shape=(3, 2, 4)),
    op("flip", real(2, 3)),
    op("flip", real(2, 3, 4), axis=(0, 2)),
    op("roll", real(2, 5), shift=3),
    op("roll", real(2, 5), shift=-2, axis=1),
    op("roll", real(3, 5), shift=(1, -2), axis=(0, 1)),
    op("triu", real(3, 4)),
    op("triu", real(2, 4, 3), k=-1),
    op("tril", real(3, 4), k=1),
    op("tril", real(2, 3, 3), k=-1),
    op("diag", real(3)),
    op("diag", real(3), k=-2),
    op("diag", real(3, 4)),
    op("diag", real(3, 4), k=1),
    op("diagonal", real(2, 3, 4), offset=1, axis1=1, axis2=2),
    op("trace", real(3, 4)),
    op("trace", real(4, 2, 3), offset=-1, axis1=0, axis2=2),
    op("sort", real(7)),
    op("sort", real(3, 5), axis=0),
    op("sort", real(2, 5), axis=-1),
    op("sort", TIES, axis=1, note="with ties"),
    op("repeat", real(2, 3), repeats=2),
    op("repeat", real(2, 3), repeats=(0, 1, 3), axis=1),
    op("tile", real(2, 3), reps=2),
    op("tile", real(2, 3), reps=(2, 1, 3)),
    op("tile", real(2, 1, 3), reps=(2, 2)),
    op("pad", real(2, 3), pad_width=1),
    op("pad", real(2, 3), pad_width=((1, 0), (2, 3)), constant_values=1.5),
    op("pad", real(3, 4), pad_width=((1, 2), (2, 0)), mode="edge"),
    op("pad", real(3, 4), pad_width=((1, 2), (0, 3)), mode="reflect"),
    op("pad", real(3, 4), pad_width=((2, 1), (3, 4)), mode="wrap"),
    op("concatenate", real(2, 3), real(2, 1), axis=1),
    op("concatenate", real(2), real(3), real(1)),
    op("concatenate", real(2, 2), real(3), axis=None),
    op("concatenate(x,x)", real(2, 3), note=""),
    op("stack", real(2, 3), real(2, 3), axis=-1),
    op("stack", real(2), real(2), real(2)),
    op("split", real(6, 2), indices_or_sections=3),
    op("split", real(2, 7), indices_or_sections=(2, 3), axis=1),
    # taking elements
    op("getitem", real(3, 4), index=1),
    op("getitem", real(3, 4), index=(-1, 2)),
    op("getitem", real(4, 5), index=(slice(1, None), slice(0, 4, 2)), note="slices"),
    op("getitem", real(2, 3, 4), index=(..., 0), note="ellipsis"),
    op("getitem", real(2, 3), index=(slice(None), None, 1), note="new axis"),
    op("getitem", real(4, 2), index=[2, 0, 2, 2], note="repeated rows"),
    op("getitem", real(3, 4), index=([0, 2, 0], [1, 3, 1]), note="repeated elements"),
    op("getitem", real(3, 4), index=([[0], [2]], [1, 1, 3]), note="broadcast indices"),
    op("getitem", real(3, 4), index=(slice(None), [-1, 0, -1]), note="repeated columns"),
    op("getitem", real(2, 3, 4), index=([1, 0], slice(None), [3, 3]), note="indices around a slice"),
    op("getitem", real(5), index=np.array([YES, NO, NO, YES, YES]), note="mask"),
    op("getitem", real(2, 3), index=np.array([[YES, NO, YES], [NO, NO, YES]]), note="mask of a matrix"),
]

MATMUL = """4,4 4,4x2 3x4,4 3x4,4x2 2x3x4,4x5 2x3x4,2x4x5 2x3x4,4 4,2x4x3 2x1x3x4,5x4x2 3x4,2x4x2 5x3x4,1x4x2
    1x3x4,2x4x1 4,2x3x4x2"""
EINSUM = """ij,jk->ik ij->ji ii ii->i ij-> ij->j ij,ij->i ij,j i,i i,j->ij bij,bjk->bik ijk,ij->k ij,jk,kl->il a,b->
    iij->j iij,jk->ik iji,j->i ij,ij,ij->ij ji,kj ij,kl->l ...ij->...ji i...,i->... ...i,...i->... ...ij,...jk->...ik
    ...ij,jk"""
LETTERS = {"a": (3,), "b": (2,), "i": (2,), "j": (3,), "k": (4,), "l": (2,)}


def sized(text):
    """`real(3, 4)` for "3x4"."""
    return real(*map(int, text.split("x")))


def operands(subscripts):
    """An array for each term; the first ellipsis of a call stands for two axes, the others for the last of them."""
    found = []
    for term in subscripts.split("->")[0].split(","):
        sizes = {**LETTERS, ".": (5,) if found else (2, 5)}
        found.append(real(*(n for letter in term.replace("...", ".") for n in sizes[letter])))
    return found


linear = [
    *(op("matmul", *map(sized, pair.split(","))) for pair in MATMUL.split()),
    *(op("dot", *map(sized, pair.split(","))) for pair in ["4,4", "3x4,4x2", "3x4,4", "2x3x4,4", "2x3x4,5x4x2"]),
    op("dot", real(), real(3)),
    op("matmul(x,x)", real(3, 3), note=""),
    op("outer", real(3), real(4)),
    op("outer", real(2, 2), real(3)),
    op("tensordot", real(2, 3, 4), real(3, 4, 5)),
    op("tensordot", real(3, 4), real(4, 2), axes=1),
    op("tensordot", real(3), real(2), axes=0),
    op("tensordot", real(2, 3, 4), real(4, 5, 2), axes=([0, 2], [2, 0])),
    *(op("einsum", *operands(subscripts), subscripts=subscripts) for subscripts in EINSUM.split()),
    op("einsum", real(1, 3), real(4, 3), subscripts="ij,ij->ij", note="with a size of 1"),
]

REDUCTIONS = [{}, {"reduction": "sum"}, {"reduction": "none"}]
PROBABILITIES = [[0.2, 0.5, 0.3], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5], [0.9, 0.05, 0.05]]
ACTIVATIONS = ["sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "silu", "gelu", "softsign", "hard_tanh"]

networks = [
    *(op("cross_entropy", real(4, 3), [0, 2, 1, 2], note=f"labels {o}", **o) for o in REDUCTIONS),
    *(op("cross_entropy", real(4, 3), PROBABILITIES, note=f"probabilities {o}", **o) for o in REDUCTIONS),
    *(op("cross_entropy", real(2, 2, 3), [[0, 2], [1, 1]], note=f"labels over time {o}", **o) for o in REDUCTIONS),
    op("cross_entropy", real(2, 2, 3), np.reshape(PROBABILITIES, (2, 2, 3)), note="probabilities over time"),
    op("cross_entropy", real(3), 1, note="one sample"),
    op("cross_entropy", [[1000.0, 0.0, -1000.0], [5.0, 4.0, 3.0]], [0, 2], note="of large numbers"),
    *(op("mse", real(3, 4), real(3, 4), **o) for o in REDUCTIONS),
    *(op("binary_cross_entropy_with_logits", real(3, 4), Draw((3, 4), 0, 1), **o) for o in REDUCTIONS),
    op("binary_cross_entropy_with_logits", LARGE, [0.0, 1.0, 0.5, 0.5, 1.0, 1.0, 0.0], note="of large numbers"),
    *(op("hinge", real(6), [1.0, -1.0, 1.0, -1.0, 1.0, -1.0], **o) for o in REDUCTIONS),
    op("dense", real(5, 3), real(3, 4), real(4)),
    op("dense", real(5, 3), real(3, 4), real(4), activation="tanh"),  # the other activations are with the layers
    op("dense", real(2, 5, 3), real(3, 4), None, activation="tanh"),
    op("dense", real(3), real(3, 2), real(2)),
    op("batch_norm", real(6, 3), positive(3), real(3)),
    op("batch_norm", real(6, 3), positive(3), real(3), eps=0.1),
    op("rnn", real(2, 4, 3), real(2, 5), inside(3, 5), inside(5, 5), real(5)),
    op("rnn", real(2, 4, 3), None, inside(3, 5), inside(5, 5), real(5), activation="relu"),
    op("lstm", real(2, 4, 3), real(2, 2), real(2, 2), inside(3, 8), inside(2, 8), real(8)),
    op("lstm", real(2, 4, 3), None, None, inside(3, 8), inside(2, 8), real(8)),
]

OPS = [*elementwise, *reductions, *shaping, *linear, *networks]

NO_SECOND_DERIVATIVE = {  # and why
    "norm of zeros": "‖x‖ is a cone at 0: its gradient jumps there",
    "std of equal numbers": "it is a norm of differences",
    "elu at kinks": "at 0 PyTorch takes the gradient of the left side and the second derivative of the right one",
    "elu of large numbers": "as at kinks: 0 is among them",
    "power 0 at 0": "PyTorch gives NaN, minigrad 0",
    "power at 0, by both": "PyTorch gives NaN, minigrad the limit",
    "logaddexp of large numbers": "PyTorch gives NaN, minigrad 0",
}

# Layers: the inputs of the call come first, then the parameters by their names in minigrad


def layer(call, given, note="", /, **options):
    return Case(f"{call} {note}".strip(), call, given, options)


def recurrent(inputs, hidden, gates, layers=1, path="layers.{}."):
    """The parameters of a recurrent layer."""
    parameters = {}
    for i in range(layers):
        parameters |= {
            path.format(i) + "w_input": inside(hidden if i else inputs, gates * hidden),
            path.format(i) + "w_hidden": inside(hidden, gates * hidden),
            path.format(i) + "bias": real(gates * hidden),
        }
    return parameters


GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}
STATES = {"RNN": ["h"], "LSTM": ["h", "c"], "GRU": ["h"]}
SCALE = {"gamma": positive(3), "beta": real(3)}


def recurrent_layer(call, layers, given, return_sequence, note="", **options):
    """A recurrent layer of 3 inputs and 4 units over 5 steps, with a given initial state or from zeros."""
    states = {name: real(layers, 2, 4) for name in STATES[call]} if given else {}
    inputs = {"x": real(2, 5, 3), **states, **recurrent(3, 4, GATES[call], layers)}
    notes = [f"layers={layers}", "from a state" * given, "sequence" * return_sequence, note]
    options = {"inputs": 3, "hidden": 4, "layers": layers, "return_sequence": return_sequence, **options}
    return layer(call, inputs, " ".join(filter(None, notes)), **options)


LAYERS = [
    *(
        layer(
            "Dense", {"x": real(5, 3), "weight": real(3, 4), "bias": real(4)}, str(name),
            inputs=3, outputs=4, activation=name,
        )
        for name in [None, *ACTIVATIONS]
    ),
    layer("Dense", {"x": real(2, 5, 3), "weight": real(3, 4)}, "without bias", inputs=3, outputs=4, bias=False),
    *(layer(name, {"x": real(3, 4)}) for name in ["Sigmoid", "Tanh", "ReLU", "LeakyReLU"]),
    *(layer(name, {"x": real(3, 4)}) for name in ["ELU", "Softplus", "SiLU", "GELU"]),
    layer("LeakyReLU", {"x": real(3, 4)}, "slope=0.3", slope=0.3),
    layer("ELU", {"x": real(3, 4)}, "alpha=0.5", alpha=0.5),
    layer("Softmax", {"x": real(3, 4)}),
    layer("Softmax", {"x": real(3, 4)}, "axis=0", axis=0),
    *(layer("CrossEntropy", {"logits": real(4, 3), "labels": [0, 2, 1, 2]}, str(o), **o) for o in REDUCTIONS),
    *(layer("MSE", {"predictions": real(4, 3), "targets": real(4, 3)}, str(o), **o) for o in REDUCTIONS),
    *(layer("BinaryCrossEntropy", {"z": real(4), "t": Draw((4,), 0, 1)}, str(o), **o) for o in REDUCTIONS),
    *(layer("Hinge", {"scores": real(4), "targets": [1.0, -1.0, -1.0, 1.0]}, str(o), **o) for o in REDUCTIONS),
    layer("Embedding", {"index": [[1, 0, 4], [1, 1, 2]], "weight": real(5, 3)}, count=5, features=3),
    layer("Flatten", {"x": real(3, 2, 4)}),
    layer("Dropout", {"x": real(3, 4)}, "in eval", p=0.5),
    layer("LayerNorm", {"x": real(5, 3), **SCALE}, features=3),
    layer("LayerNorm", {"x": real(2, 4, 3), **SCALE}, "over time, eps=0.1", features=3, eps=0.1),
    # four outputs: of three batches in training, then of one in eval; then the running mean and variance
    layer("BatchNorm", {**{f"x{i}": real(6, 3) for i in range(4)}, **SCALE}, features=3),
    layer(
        "BatchNorm", {**{f"x{i}": real(6, 3) for i in range(4)}, **SCALE}, "eps=0.1 momentum=0.3",
        features=3, eps=0.1, momentum=0.3,
    ),
    *(
        recurrent_layer(call, layers, given, return_sequence=given == (layers == 1))
        for call in GATES for layers in (1, 2) for given in (NO, YES)
    ),
    recurrent_layer("RNN", 2, YES, YES, "relu", activation="relu"),
    layer("RNNCell", {"x": real(2, 3), "h": real(2, 4), **recurrent(3, 4, 1, path="")}, inputs=3, hidden=4),
    layer(
        "RNNCell", {"x": real(2, 3), "h": real(2, 4), **recurrent(3, 4, 1, path="")}, "relu",
        inputs=3, hidden=4, activation="relu",
    ),
    layer(
        "LSTMCell", {"x": real(2, 3), "h": real(2, 4), "c": real(2, 4), **recurrent(3, 4, 4, path="")},
        inputs=3, hidden=4,
    ),
    layer("GRUCell", {"x": real(2, 3), "h": real(2, 4), **recurrent(3, 4, 3, path="")}, inputs=3, hidden=4),
    # the tests and make_reference.py each say how these are built
    layer(
        "Residual", {"x": real(4, 3), "body.0.weight": real(3, 5), "body.0.bias": real(5), "body.1.weight": real(5, 3)}
    ),
    layer(
        "Residual",
        {"x": real(4, 3), "body.0.weight": real(3, 2), "body.0.bias": real(2), "shortcut.weight": real(3, 2)},
        "with a shortcut",
    ),
    layer(
        "DenseBlock",
        {"x": real(4, 3), "stages.0.weight": real(3, 2), "stages.0.bias": real(2), "stages.1.weight": real(5, 2)},
    ),
]  # fmt: skip

# Training: 25 steps on one batch of a model with three classes


class Model(NamedTuple):
    """Input x of a model, and its parameters."""

    x: Draw
    parameters: dict[str, Draw]


HEAD = {"layers.1.weight": inside(4, 3), "layers.1.bias": inside(3)}
MODELS = {
    "mlp": Model(real(8, 3), {"layers.0.weight": inside(3, 4), "layers.0.bias": inside(4), **HEAD}),
    "lstm": Model(real(8, 5, 2), {**recurrent(2, 4, 4, path="layers.0.layers.{}."), **HEAD}),
    "gru": Model(real(8, 5, 2), {**recurrent(2, 4, 3, path="layers.0.layers.{}."), **HEAD}),
    **{  # no bias before a BatchNorm: its gradient is 0, and Adam would amplify the rounding error
        norm: Model(
            real(8, 3),
            {
                "layers.0.weight": inside(3, 4),
                "layers.1.gamma": positive(4),
                "layers.1.beta": inside(4),
                "layers.3.weight": inside(4, 3),
                "layers.3.bias": inside(3),
            },
        )
        for norm in ("batch norm", "layer norm")
    },
}
LABELS = [0, 1, 2, 2, 1, 0, 1, 2]
STEPS = 25


class Training(NamedTuple):
    """An optimizer by name, its settings, and groups of parameters by their positions."""

    name: str
    optimizer: str
    settings: dict[str, Any]
    groups: list[dict[str, Any]] | None
    model: str


def training(optimizer, groups=None, model="mlp", **settings):
    described = [model * (model != "mlp"), *(f"{name}={value}" for name, value in settings.items())]
    name = " ".join([optimizer, *filter(None, described), "in groups" * bool(groups)]).strip()
    return Training(name, optimizer, settings, groups, model)


COSINE = ("CosineDecay", {"lr": 0.3, "steps": 20})
WARM = ("Warmup", {"schedule": ("ExponentialDecay", {"lr": 0.2, "rate": 0.9}), "steps": 5})

TRAINING = [
    training("SGD", lr=0.3),
    training("SGD", lr=0.3, weight_decay=0.1),
    training("SGD", lr=0.2, momentum=0.9),
    training("SGD", lr=0.2, momentum=0.9, weight_decay=0.1),
    training("SGD", lr=0.2, momentum=0.8, nesterov=True),
    training("SGD", lr=0.2, momentum=0.8, nesterov=True, weight_decay=0.1),
    training("SGD", lr=COSINE, momentum=0.5),
    training("SGD", lr=0.2, momentum=0.5, groups=[
        {"params": [0, 1], "lr": 0.05, "weight_decay": 0.3},
        {"params": [2], "momentum": 0.9, "nesterov": True},
        {"params": [3], "momentum": 0.0},
    ]),
    training("RMSprop", lr=0.02),
    training("RMSprop", lr=0.02, decay=0.8, eps=1e-4),
    training("RMSprop", lr=0.02, groups=[{"params": [0, 2], "decay": 0.7}, {"params": [1, 3], "lr": 0.1}]),
    training("Adagrad", lr=0.1),
    training("Adagrad", lr=0.1, eps=0.01),
    training("Adagrad", lr=0.1, groups=[{"params": [3, 2]}, {"params": [1, 0], "lr": 0.3, "eps": 0.1}]),
    training("Adam", lr=0.05),
    training("Adam", lr=0.05, betas=(0.7, 0.95), eps=1e-3),
    training("Adam", lr=0.05, weight_decay=0.2),
    training("Adam", lr=WARM),
    training("Adam", lr=0.05, groups=[
        {"params": [0, 1], "betas": (0.5, 0.9), "weight_decay": 0.1}, {"params": [2, 3], "lr": WARM, "eps": 0.01},
    ]),
    training("AdamW", lr=0.05),
    training("AdamW", lr=0.05, weight_decay=0.5),
    training("AdamW", lr=0.05, betas=(0.7, 0.95), eps=1e-3, weight_decay=0.0),
    training("AdamW", lr=COSINE, groups=[{"params": [0, 2], "weight_decay": 0.3}, {"params": [1, 3], "lr": 0.01}]),
    *(training("Adam", model=model, lr=0.05) for model in MODELS if model != "mlp"),
]  # fmt: skip

# Rates of 60 steps. A pair (name, settings) is a schedule.

RATES = 60
SCHEDULES = [
    ("Constant", {"lr": 0.1}),
    ("ExponentialDecay", {"lr": 0.1, "rate": 0.9}),
    ("ExponentialDecay", {"lr": 0.1, "rate": 0.5, "steps": 8}),
    ("NaturalExponentialDecay", {"lr": 0.2, "rate": 0.1}),
    ("NaturalExponentialDecay", {"lr": 0.2, "rate": 0.5, "steps": 10}),
    ("SqrtDecay", {"lr": 0.1}),
    ("InverseTimeDecay", {"lr": 0.1, "rate": 0.5}),
    ("InverseTimeDecay", {"lr": 0.1, "rate": 2.0, "steps": 30}),
    ("StepDecay", {"lr": 0.1, "factor": 0.5, "every": 7}),
    ("PiecewiseConstant", {"boundaries": [10, 25, 40], "values": [0.8, 0.4, 0.2, 0.1]}),
    ("PolynomialDecay", {"lr": 0.1, "steps": 40}),
    ("PolynomialDecay", {"lr": 0.1, "steps": 40, "power": 0.9}),
    ("PolynomialDecay", {"lr": 0.1, "steps": 40, "final": 0.02}),
    ("CosineDecay", {"lr": 0.1, "steps": 60}),
    ("CosineDecay", {"lr": 0.1, "steps": 45, "final": 0.01}),
    ("Warmup", {"schedule": ("CosineDecay", {"lr": 0.1, "steps": 50}), "steps": 10}),
    ("Warmup", {"schedule": ("ExponentialDecay", {"lr": 0.1, "rate": 0.95}), "steps": 2}),
    ("Warmup", {"schedule": ("StepDecay", {"lr": 0.1, "factor": 0.5, "every": 9}), "steps": 7}),
    ("ReduceOnPlateau", {"lr": 0.1, "patience": 3}),
    ("ReduceOnPlateau", {"lr": 0.1, "factor": 0.5, "patience": 0, "min_lr": 0.01}),
    ("ReduceOnPlateau", {"lr": 0.1, "factor": 0.5, "patience": 2, "cooldown": 3, "threshold": 0.05}),
    ("ReduceOnPlateau", {"lr": 0.1, "factor": 0.7, "patience": 1, "mode": "max", "threshold": 0.1}),
    ("ReduceOnPlateau", {"lr": 0.1, "factor": 0.7, "patience": 1, "threshold": 0.2, "threshold_mode": "abs"}),
    ("ReduceOnPlateau", {"lr": 0.1, "factor": 0.5, "patience": 1, "eps": 0.02}),
]  # fmt: skip


def schedule_name(schedule):
    name, settings = schedule
    return " ".join([name, *(f"{key}={value}" for key, value in settings.items())])


# Clipping: a limit below and one above the norms

CLIPPING = [
    (name, limit) for name in ("clip_by_value", "clip_by_norm", "clip_by_global_norm") for limit in (0.7, 100.0)
]
CLIPPED = {"a": real(3, 4), "b": real(4), "c": real()}
