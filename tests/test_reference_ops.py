"""Every op agrees with PyTorch: values, gradients and second derivatives (`reference/README.md`)."""

import runpy
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import SimpleNamespace

import numpy as np
import pytest

import minigrad as mg

reference = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "reference" / "comparison.py")))
cases = reference.cases

FUNCTIONS = {  # whose arguments are not just the inputs and the options
    "concatenate": lambda *xs, **options: mg.concatenate(xs, **options),
    "stack": lambda *xs, **options: mg.stack(xs, **options),
    "einsum": lambda *xs, subscripts: mg.einsum(subscripts, *xs),
    "trace": lambda x, **options: x.trace(**options),  # mg.trace looks into a backward pass
}
REPEATED = {  # one input as both operands
    "maximum(x,x)": lambda x: mg.maximum(x, x),
    "minimum(x,x)": lambda x: mg.minimum(x, x),
    "multiply(x,x)": lambda x: mg.multiply(x, x),
    "matmul(x,x)": lambda x: mg.matmul(x, x),
    "concatenate(x,x)": lambda x: mg.concatenate([x, x]),
}


@pytest.fixture(scope="module")
def stored():
    return reference.stored()


@pytest.mark.parametrize("case", cases.OPS, ids=lambda case: case.name)
def test_an_op_agrees_with_pytorch(case, stored):
    arrays = dict(stored[case.name])
    inputs = reference.inputs_of(case, arrays)
    function = {**FUNCTIONS, **REPEATED}.get(case.call) or getattr(mg, case.call)
    outputs = function(*inputs.values(), **case.options)
    leaves = {name: x for name, x in inputs.items() if isinstance(x, mg.Tensor)}
    reference.assert_agrees(case, arrays, outputs, leaves, rtol=1e-10)


def test_the_file_holds_the_cases_of_the_table_and_no_others(stored):
    tables = [*cases.OPS, *cases.LAYERS, *cases.TRAINING]
    names = [case.name for case in tables]
    names += [cases.schedule_name(schedule) for schedule in cases.SCHEDULES]
    names += [f"{name} {limit}" for name, limit in cases.CLIPPING]
    assert len(names) == len(set(names))
    assert set(names) == set(stored)


def test_every_op_that_pytorch_knows_has_a_case():
    unknown = {
        "astype",  # its derivative is 1
        "dropout",  # PyTorch draws other random numbers
        "gru_gates",  # tested as a part of the GRU layer
    }
    modules = (import_module(f"minigrad.ops.{module.name}") for module in iter_modules(mg.ops.__path__))
    public = {name for module in modules for name in getattr(module, "__all__", ())}
    assert {case.call for case in cases.OPS if case.call not in REPEATED} == public - unknown


def test_the_file_is_plain_numbers_and_small(stored):
    kinds = {array.dtype for arrays in stored.values() for array in arrays.values()}
    assert kinds == {np.dtype(float), np.dtype(int), np.dtype(bool)}
    assert (reference.HERE / "reference.npz").stat().st_size < 1.5e6
