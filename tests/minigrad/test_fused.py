"""A fused op: one kernel each way, and a definition for all the rest."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.define import numpy_overrides

pytestmark = pytest.mark.usefixtures("kernels_run")

X = np.array([[0.5, -1.5, 2.0], [1.0, 3.0, -0.5]])


def leaf(x, **keywords):
    return mg.tensor(x, requires_grad=True, **keywords)


def double_forward(x, b, power=2):
    y = x**power
    return (y if b is None else y + b), (x, power)


def double_backward(g, y, saved, x, b, power=2):
    return g * power * x ** (power - 1), None if b is None else g.sum(axis=0)


def double_definition(x, b, power=2):
    y = mg.power(x, power)
    return y if b is None else y + b


double = mg.fused("double", double_forward, double_backward, double_definition, ["2g·x", "Σ g"], kind="norm")


@pytest.mark.parametrize("choice", ["auto", "numpy", "definition"])
@pytest.mark.parametrize("b", [None, np.array([1.0, 2.0, 3.0])])
def test_a_fused_op_and_its_definition_agree(choice, b):
    x, shift = leaf(X), None if b is None else leaf(b)
    with mg.kernels.use(choice):
        y = double(x, shift, power=3)
        y.sum().backward()
    np.testing.assert_allclose(y.data, X**3 + (0 if b is None else b))
    np.testing.assert_allclose(x.grad, 3 * X**2)
    if b is not None:
        assert shift.grad.tolist() == [2, 2, 2]
    assert (y.node.op is double) is (choice != "definition")
    assert double.kind == "norm"


def test_a_fused_op_on_arrays_gives_its_output_only():
    np.testing.assert_array_equal(double(X, None), X**2)


def double_alone(x):
    return 2 * x


def test_the_kernel_runs_forward_and_back_once_each():
    calls = []
    op = mg.fused(
        "counted",
        lambda x: calls.append("forward") or (2 * x, "kept"),
        lambda g, y, saved, x: calls.append(saved) or (2 * g,),
        lambda x: calls.append("definition") or 2 * x,
    )
    x = leaf(X)
    op(x).sum().backward()
    assert calls == ["forward", "kept"]
    mg.grad(op(x).sum(), x, create_graph=True)
    assert calls == ["forward", "kept", "forward", "definition"]


def test_higher_derivatives_go_through_the_definition():
    x, b = leaf(X), leaf(np.ones(3))
    for _ in range(2):
        (g,) = mg.grad(double(double(x, b), b).sum(), x, create_graph=True)
        (second,) = mg.grad((g * g).sum(), x)
        inner = X**2 + 1
        np.testing.assert_allclose(g.data, 4 * X * inner)
        np.testing.assert_allclose(second.data, 2 * (4 * X * inner) * (4 * inner + 8 * X**2))


def test_an_input_of_a_fused_op_made_from_another_one_counts_once():
    """b = f(x): the definition is differentiated by x and by b separately, not by x through b."""
    op = mg.fused(
        "product", lambda a, b: (a * b, None), lambda g, y, s, a, b: (g * b, g * a), lambda a, b: a * b, ["g·b", "g·a"]
    )
    x = leaf(2.0)
    y = op(x, x * x)
    for create_graph in (False, True):
        assert mg.grad(y, x, create_graph=create_graph)[0].item() == 12
    assert mg.grad(op(x, x), x, create_graph=True)[0].item() == 4


@pytest.mark.parametrize(
    "definition", [lambda x: None, lambda x: np.ones(3), lambda x: mg.tensor(2.0), lambda x: x.detach()]
)
def test_a_definition_that_loses_its_inputs_has_no_second_derivative(definition):
    x = leaf(2.0)
    y = mg.fused("squared", lambda x: (x * x, None), lambda g, y, s, x: (2 * g * x,), definition)(x)
    assert mg.grad(y, x)[0].item() == 4
    with pytest.raises(mg.GraphError, match="squared: its definition makes no Tensor out of the inputs"):
        mg.grad(y, x, create_graph=True)


def test_a_fresh_contribution_becomes_the_gradient_unless_others_may_hold_it():
    made = []
    op = mg.fused(
        "doubled",
        lambda x: (2 * x, None),
        lambda g, y, s, x: made.append(2 * g) or (made[-1],),
        double_alone,
        fresh=True,
    )
    x, shared = leaf(X), leaf(X)
    op(x).sum().backward()
    assert x.grad is made[0]
    (op(shared) + shared).sum().backward()
    assert not np.shares_memory(shared.grad, made[1])
    np.testing.assert_array_equal(shared.grad, np.full_like(X, 3))


def test_a_fused_forward_may_return_the_output_alone():
    """An output of two rows must not be taken for the pair (output, saved)."""
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    alone = mg.fused("alone", lambda a: 2 * a, lambda g, y, saved, a: (2 * g,), double_alone)
    np.testing.assert_array_equal(alone(x).data, 2 * x.data)
    assert mg.check_op(alone, x.data).ok


def test_a_fused_op_may_be_a_method_and_stand_for_a_function_of_numpy(monkeypatch):
    monkeypatch.setattr(mg.Tensor, "degrees", None, raising=False)  # both are undone afterwards
    monkeypatch.setitem(numpy_overrides, np.degrees, None)
    factor = 180 / np.pi
    mg.fused(
        "degrees",
        lambda x: factor * x,
        lambda g, y, saved, x: (factor * g,),
        lambda x: mg.multiply(factor, x),
        numpy=np.degrees,
        method=True,
    )
    x = leaf(X)
    for y in (np.degrees(x), x.degrees()):
        assert (y.data == factor * X).all()
        assert y.node.op.name == "degrees"
