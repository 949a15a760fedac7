"""All ops. Importing this package gives Tensor its operators and methods."""

from __future__ import annotations

import numpy as np

from minigrad.ops import elementwise as table
from minigrad.ops import linear, networks, reductions, shaping
from minigrad.tensor import Tensor

METHODS = {
    table: """add subtract multiply divide power negative abs square sqrt reciprocal exp expm1 log log1p log2 log10
        logaddexp sin cos tan arcsin arccos arctan arctan2 sinh cosh tanh arcsinh arccosh arctanh hypot sigmoid relu
        leaky_relu elu softplus silu gelu softsign hard_tanh clip maximum minimum astype""",
    reductions: "sum mean prod max min var std norm logsumexp cumsum softmax",
    shaping: """swapaxes moveaxis squeeze ravel expand_dims broadcast_to flip roll repeat tile pad split diag diagonal
        trace triu tril sort""",
    linear: "dot matmul outer tensordot",
    networks: "log_softmax",
}


def spread(shape):
    """`(2, 3)` whether it was given as one tuple or as several arguments."""
    return shape[0] if len(shape) == 1 else shape


def comparison(ufunc):
    """A comparison has no derivative: it gives a plain boolean array."""
    return lambda x, y: ufunc(x._data, y._data if isinstance(y, Tensor) else y)


MEMBERS = {
    "reshape": lambda x, *shape: shaping.reshape(x, spread(shape)),
    "transpose": lambda x, *axes: shaping.transpose(x, spread(axes) if axes else None),
    "T": property(shaping.transpose),
    "__getitem__": shaping.getitem,
    "__add__": lambda x, y: table.add(x, y),
    "__radd__": lambda x, y: table.add(y, x),
    "__sub__": lambda x, y: table.subtract(x, y),
    "__rsub__": lambda x, y: table.subtract(y, x),
    "__mul__": lambda x, y: table.multiply(x, y),
    "__rmul__": lambda x, y: table.multiply(y, x),
    "__truediv__": lambda x, y: table.divide(x, y),
    "__rtruediv__": lambda x, y: table.divide(y, x),
    "__pow__": lambda x, y: table.power(x, y),
    "__rpow__": lambda x, y: table.power(y, x),
    "__matmul__": lambda x, y: linear.matmul(x, y),
    "__rmatmul__": lambda x, y: linear.matmul(y, x),
    "__neg__": lambda x: table.negative(x),
    "__abs__": lambda x: table.abs(x),
    "__eq__": comparison(np.equal),
    "__ne__": comparison(np.not_equal),
    "__lt__": comparison(np.less),
    "__le__": comparison(np.less_equal),
    "__gt__": comparison(np.greater),
    "__ge__": comparison(np.greater_equal),
}

for module, names in METHODS.items():
    MEMBERS |= {name: getattr(module, name) for name in names.split()}
for name, member in MEMBERS.items():
    setattr(Tensor, name, member)
