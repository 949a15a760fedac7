"""Every layer agrees with PyTorch: outputs, states, gradients and second derivatives (`reference/README.md`)."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

import layers
import minigrad as mg
from layers import Dense, DenseBlock, Residual

reference = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "reference" / "comparison.py")))
cases = reference.cases

BUILT = {
    "Residual": lambda: Residual(Dense(3, 5, "tanh"), Dense(5, 3, bias=False), after="relu"),
    "Residual with a shortcut": lambda: Residual(Dense(3, 2, "tanh"), shortcut=Dense(3, 2, bias=False)),
    "DenseBlock": lambda: DenseBlock(Dense(3, 2, "sigmoid"), Dense(5, 2, "tanh", bias=False)),
}


def called_as_pair(layer, x, h=None, c=None):
    """An LSTM takes its two states as one argument."""
    return layer(x) if h is None else layer(x, (h, c))


def three_batches(layer, *batches):
    """Outputs of three batches in training and of one in eval, then the running statistics."""
    *training, last = batches
    outputs = [layer(x) for x in training]
    return [*outputs, layer.eval()(last), layer.running_mean, layer.running_var]


CALLS = {
    "LSTM": called_as_pair,
    "LSTMCell": called_as_pair,
    "BatchNorm": three_batches,
    "Dropout": lambda layer, x: layer.eval()(x),
}


@pytest.fixture(scope="module")
def stored():
    return reference.stored()


@pytest.mark.parametrize("case", cases.LAYERS, ids=lambda case: case.name)
def test_a_layer_agrees_with_pytorch(case, stored):
    arrays = dict(stored[case.name])
    build = BUILT.get(case.name) or getattr(layers, case.call)
    layer = build(**case.options)
    inputs = reference.inputs_of(case, arrays)
    parameters = dict(layer.named_parameters())
    for name, parameter in parameters.items():
        parameter.data = inputs.pop(name).data
    call = CALLS.get(case.call, lambda layer, *xs: layer(*xs))
    outputs = call(layer, *inputs.values())
    leaves = {name: x for name, x in inputs.items() if isinstance(x, mg.Tensor)} | parameters
    reference.assert_agrees(case, arrays, outputs, leaves, rtol=1e-9)


def test_every_layer_has_a_case():
    parts = {"Module", "Parameter", "Sequential", "init"}  # Sequential is in the models of the training cases
    assert {case.call for case in cases.LAYERS} == set(layers.__all__) - parts
