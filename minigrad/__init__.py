"""Reverse-mode automatic differentiation in which every gradient product can be seen.

>>> import minigrad as mg
>>> x = mg.tensor([1.0, 2.0], requires_grad=True)
>>> (x * x).sum().backward()
>>> x.grad
array([2., 4.])
"""

import importlib.util
from typing import TYPE_CHECKING

# `as` makes a name public for type checkers too; `import *` does so by itself.
from minigrad import data as data, kernels as kernels, settings
from minigrad.functional import grad as grad, jvp as jvp, vjp as vjp
from minigrad.functional import hessian as hessian, hvp as hvp, jacobian as jacobian
from minigrad.define import elementwise as elementwise, fused as fused, primitive as primitive
from minigrad.graph import GraphError as GraphError
from minigrad.ops.affine import *
from minigrad.ops.elementwise import *
from minigrad.ops.linear import *
from minigrad.ops.networks import *
from minigrad.ops.recurrent import *
from minigrad.ops.reductions import *
from minigrad.ops.shaping import *
from minigrad import numpy_protocol
from minigrad.differences import gradcheck as gradcheck
from minigrad.check import check_op as check_op
from minigrad.inspection import detect_anomaly as detect_anomaly
from minigrad.inspection import trace as trace  # the backward pass; the trace of a matrix is np.trace
from minigrad.settings import default_dtype as default_dtype, no_grad as no_grad
from minigrad.settings import seed as seed, set_default_dtype as set_default_dtype
from minigrad.tensor import Tensor as Tensor, tensor as tensor

if importlib.util.find_spec("minigrad.numpy_extra"):
    from minigrad import numpy_extra
if importlib.util.find_spec("minigrad.numpy_linalg"):
    from minigrad import numpy_linalg
if importlib.util.find_spec("minigrad.inspection.monitor"):
    from minigrad.inspection.monitor import GradientMonitor as GradientMonitor

__version__ = "0.1.0"

if not TYPE_CHECKING:  # a type checker would take every name for a known one

    def __getattr__(name):
        ops = "ops have NumPy's names (concatenate, clip, expand_dims)"
        raise AttributeError(f"minigrad has no {name!r}: {ops}; layers and optimizers are in `layers` and `optim`")
