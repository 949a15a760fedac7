"""Reverse-mode automatic differentiation in which every gradient product can be seen.

>>> import minigrad as mg
>>> x = mg.tensor([1.0, 2.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
array([2., 4.])
"""

from minigrad import data, kernels, settings
from minigrad.functional import grad, hessian, hvp, jacobian, jvp, vjp
from minigrad.define import elementwise, fused, primitive
from minigrad.graph import GraphError
from minigrad.ops import *
from minigrad import numpy_protocol
from minigrad.check import check_op, gradcheck
from minigrad.inspection import detect_anomaly, trace  # the backward pass; the trace of a matrix is np.trace
from minigrad.settings import default_dtype, no_grad, seed, set_default_dtype
from minigrad.tensor import Tensor, tensor

__version__ = "0.1.0"
