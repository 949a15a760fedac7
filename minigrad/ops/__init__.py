"""All ops. Importing this package gives Tensor its operators and methods."""

from __future__ import annotations

import functools
import operator

import numpy as np

from minigrad.op import identity
from minigrad.ops import compiled, linear, networks, reductions, shaping
from minigrad.ops import elementwise as table
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
PLAIN = "all any argmax argmin argsort nonzero round"


def reshape(x, *shape):
    """x in another shape, given as one tuple or as separate numbers; one of them may be −1."""
    return shaping.reshape(x, shape[0] if len(shape) == 1 else shape)


def transpose(x, *axes):
    """x with its axes in the given order, one tuple or separate numbers; reversed if none is given."""
    return shaping.transpose(x, axes[0] if len(axes) == 1 else axes or None)


def comparison(compare):
    """A comparison has no derivative: it returns a plain boolean array, even for a single number."""
    return lambda x, y: np.asarray(compare(x._array, y._array if isinstance(y, Tensor) else y))


def without_rule(method):
    """A method without a derivative, such as argmax, returns for a Tensor what it returns for the array."""
    return functools.wraps(method)(lambda x, *args, **keywords: method(x._array, *args, **keywords))


def formatted(x, spec):
    """`f"{loss:.4f}"` formats the number in a tensor of one element."""
    return format(x.item(), spec) if spec and x.size == 1 else object.__format__(x, spec)


def assign(x, index, value):
    """`x[index] = value` would change numbers that ops have computed with."""
    raise TypeError("the elements of a Tensor cannot be assigned: mg.where(condition, a, b) or mg.stack make a new one")


MEMBERS = {
    "reshape": reshape,
    "transpose": transpose,
    "flatten": shaping.ravel,
    "T": property(shaping.transpose),
    "__getitem__": shaping.getitem,
    "__setitem__": assign,
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
    "__pos__": identity,
    "__neg__": lambda x: table.negative(x),
    "__abs__": lambda x: table.abs(x),
    "__eq__": comparison(operator.eq),
    "__ne__": comparison(operator.ne),
    "__lt__": comparison(operator.lt),
    "__le__": comparison(operator.le),
    "__gt__": comparison(operator.gt),
    "__ge__": comparison(operator.ge),
    "__bool__": lambda x: bool(x._array),
    "__contains__": lambda x, value: value in x._array,
    "__float__": lambda x: float(x.item()),
    "__int__": lambda x: int(x.item()),
    "__format__": formatted,
}

compiled.give_kernels()
MEMBERS |= {name: without_rule(getattr(np.ndarray, name)) for name in PLAIN.split()}
for module, names in METHODS.items():
    MEMBERS |= {name: getattr(module, name) for name in names.split()}
for name, member in MEMBERS.items():
    setattr(Tensor, name, member)
