"""What the reference tests share: a case's arrays from `reference.npz`, and minigrad compared with them.

Each array of a case must be used, and each case of the file must be in the table.
"""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import minigrad as mg

HERE = Path(__file__).parent
cases = SimpleNamespace(**runpy.run_path(str(HERE / "cases.py")))


def stored():
    """Case → its arrays by name."""
    found = {}
    with np.load(HERE / "reference.npz", allow_pickle=False) as file:
        for key in file.files:
            case, name = key.split("/", 1)
            found.setdefault(case, {})[name] = file[key]
    return found


def assert_equal(found, expected, rtol, what):
    """Relative to each number; where a sum cancels, relative to the largest number of the array."""
    found = found.data if isinstance(found, mg.Tensor) else np.asarray(found)
    assert found.dtype == np.float64, what
    largest = np.max(np.abs(expected), initial=1)
    np.testing.assert_allclose(found, expected, rtol, rtol * largest * 1e-2, strict=True, err_msg=what)


def inputs_of(case, arrays):
    """The inputs of a case: Tensors that require a gradient for arrays of floats, anything else as it is."""
    inputs = {}
    for name, value in case.inputs.items():
        x = value if cases.stands_for_itself(value) else arrays.pop(name)
        floats = isinstance(x, np.ndarray) and x.dtype == np.float64
        inputs[name] = mg.tensor(x, requires_grad=True, name=name) if floats else x
    return inputs


def flat(y):
    """The parts of an output that may be nested, in order."""
    return [part for group in y for part in flat(group)] if isinstance(y, (list, tuple)) else [y]


def assert_agrees(case, arrays, outputs, leaves, rtol):
    """The outputs of a case, their gradients by the leaves, and the gradients of ⟨gradient, direction⟩."""
    single = not isinstance(outputs, (list, tuple))
    total = 0
    for i, y in enumerate(flat(outputs)):
        name = "y" if single else f"y{i}"
        assert_equal(y, arrays.pop(name), rtol, f"{case.name}: {name}")
        if f"cotangent_{name}" in arrays:
            total = total + (y * arrays.pop(f"cotangent_{name}")).sum()
    total.backward()
    gradients = mg.grad(total, list(leaves.values()), create_graph=True)
    product = 0
    for (name, x), g in zip(leaves.items(), gradients, strict=True):
        expected = arrays.pop(f"grad_{name}")
        assert_equal(x.grad, expected, rtol, f"{case.name}: gradient of {name}")
        assert_equal(g, expected, rtol, f"{case.name}: gradient of {name}, with a graph")
        if case.name not in cases.NO_SECOND_DERIVATIVE:
            product = product + (g * arrays.pop(f"direction_{name}")).sum()
    if case.name not in cases.NO_SECOND_DERIVATIVE:
        for name, g in zip(leaves, mg.grad(product, list(leaves.values())), strict=True):
            assert_equal(g, arrays.pop(f"second_{name}"), rtol, f"{case.name}: second derivative by {name}")
    assert not arrays, f"{case.name}: not compared: {sorted(arrays)}"
