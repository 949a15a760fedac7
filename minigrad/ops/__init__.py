"""All ops. Importing this package gives Tensor its operators and methods."""

from __future__ import annotations

import numpy as np

from minigrad.ops import elementwise as table
from minigrad.ops import linear, networks, recurrent, reductions, shaping
from minigrad.ops.elementwise import *
from minigrad.ops.linear import *
from minigrad.ops.networks import *
from minigrad.ops.recurrent import *
from minigrad.ops.reductions import *
from minigrad.ops.shaping import *
from minigrad.tensor import Tensor

__all__ = [
    *table.__all__, *linear.__all__, *networks.__all__, *recurrent.__all__, *reductions.__all__, *shaping.__all__,
]  # fmt: skip

METHODS = {
    table: """square sqrt reciprocal exp expm1 log log1p log2 log10 sin cos tan arcsin arccos arctan sinh cosh tanh
        arcsinh arccosh arctanh sigmoid relu leaky_relu elu softplus silu gelu softsign hard_tanh clip
        maximum minimum astype""",
    reductions: "sum mean prod max min var std norm logsumexp cumsum softmax",
    shaping: "swapaxes squeeze ravel expand_dims broadcast_to flip roll repeat split diagonal trace sort",
    linear: "dot matmul",
    networks: "log_softmax",
}


def spread(shape):
    """`(2, 3)` whether it was given as one tuple or as several arguments."""
    return shape[0] if len(shape) == 1 else shape


for module, names in METHODS.items():
    for name in names.split():
        setattr(Tensor, name, getattr(module, name))

Tensor.reshape = lambda self, *shape: shaping.reshape(self, spread(shape))
Tensor.transpose = lambda self, *axes: shaping.transpose(self, spread(axes) if axes else None)
Tensor.T = property(shaping.transpose)

Tensor.__add__ = lambda self, other: table.add(self, other)
Tensor.__radd__ = lambda self, other: table.add(other, self)
Tensor.__sub__ = lambda self, other: table.subtract(self, other)
Tensor.__rsub__ = lambda self, other: table.subtract(other, self)
Tensor.__mul__ = lambda self, other: table.multiply(self, other)
Tensor.__rmul__ = lambda self, other: table.multiply(other, self)
Tensor.__truediv__ = lambda self, other: table.divide(self, other)
Tensor.__rtruediv__ = lambda self, other: table.divide(other, self)
Tensor.__pow__ = lambda self, other: table.power(self, other)
Tensor.__rpow__ = lambda self, other: table.power(other, self)
Tensor.__matmul__ = lambda self, other: linear.matmul(self, other)
Tensor.__rmatmul__ = lambda self, other: linear.matmul(other, self)
Tensor.__neg__ = lambda self: table.negative(self)
Tensor.__abs__ = lambda self: table.abs(self)
Tensor.__getitem__ = shaping.getitem


def comparison(ufunc):
    """A comparison has no derivative: it gives a plain boolean array."""
    return lambda self, other: ufunc(self._data, other._data if isinstance(other, Tensor) else other)


Tensor.__eq__ = comparison(np.equal)
Tensor.__ne__ = comparison(np.not_equal)
Tensor.__lt__ = comparison(np.less)
Tensor.__le__ = comparison(np.less_equal)
Tensor.__gt__ = comparison(np.greater)
Tensor.__ge__ = comparison(np.greater_equal)
