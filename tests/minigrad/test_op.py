"""Defining ops: elementwise, primitive and fused, what a call does, and the errors for wrong rules."""

import copy
import inspect
import math
import os
import subprocess
import sys

import numpy as np
import pytest

import minigrad as mg


@pytest.fixture(autouse=True)
def _kernels():
    """These tests define kernels of their own, which must run whatever the environment says."""
    with mg.kernels.use("auto"):
        yield


X = np.array([[0.5, -1.5, 2.0], [1.0, 3.0, -0.5]])


def leaf(x, **keywords):
    return mg.tensor(x, requires_grad=True, **keywords)


# Elementwise

cube = mg.elementwise("cube", lambda x: x**3, [lambda y, x: 3 * x**2], ["3x²"], kind="activation", latex=["3x^2"])
scaled = mg.elementwise(
    "scaled", lambda x, by, shift=0.5: x * by + shift, [lambda y, x, by, shift: by * np.ones_like(x)], ["by"]
)


def test_an_elementwise_op():
    x = leaf(X)
    y = cube(x)
    np.testing.assert_array_equal(y.data, X**3)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, 3 * X**2)


def test_an_op_says_what_it_is():
    assert (cube.name, cube.__name__, cube.kind, cube.formulas, cube.latex) == (
        "cube",
        "cube",
        "activation",
        ["3x²"],
        ["3x^2"],
    )
    assert repr(cube) == "<op cube>"
    assert "3x²" in cube.__doc__
    assert mg.elementwise("f", np.sin, [np.cos], ["cos"], doc="The sine.").__doc__ == "The sine."
    assert mg.elementwise("f", np.sin, [np.cos], ["cos"]).latex == ["cos"]


def test_arrays_in_arrays_out_tensors_in_tensors_out():
    assert type(cube(X)) is np.ndarray
    assert type(cube(2.0)) is np.ndarray
    assert type(cube([1.0, 2.0])) is np.ndarray
    assert isinstance(cube(mg.tensor(X)), mg.Tensor)
    assert isinstance(cube(leaf(X)), mg.Tensor)
    assert cube(leaf(X)).requires_grad
    assert not cube(mg.tensor(X)).requires_grad
    for y in (mg.sum(X), mg.sum(leaf(X)).data, (leaf(2.0) * 3).data, cube(np.array(2.0))):
        assert type(y) is np.ndarray  # NumPy itself gives a scalar
        assert y.shape == ()


def test_the_forward_runs_once():
    calls = []
    op = mg.elementwise("counted", lambda x: calls.append(1) or 2 * x, [2], ["2"])
    y = op(leaf(X))
    assert calls == [1]
    y.sum().backward()
    assert calls == [1]


@pytest.mark.parametrize("number", [1, -1, 2, 0.5, 0])
def test_a_derivative_may_be_a_number(number):
    op = mg.elementwise("times", lambda x: number * x, [number], [str(number)])
    for create_graph in (False, True):
        x = leaf(X)
        (g,) = mg.grad(op(x), x, np.full(X.shape, 3.0), create_graph)
        np.testing.assert_array_equal(g.data, np.full(X.shape, 3.0 * number))


def test_a_declared_1_passes_the_upstream_on_and_a_computed_1_does_not():
    declared = mg.elementwise("declared", lambda x: x + 0, [1], ["1"])
    computed = mg.elementwise("computed", lambda x: x + 0, [lambda y, x: 1.0], ["1"])
    g = np.ones_like(X)
    for op, same in [(declared, True), (computed, False)]:
        y = op(leaf(X))
        (contribution,) = op.pull(y.node, g, y.data, y.node.arrays)
        assert (contribution is g) is same


def test_no_derivative_for_an_input():
    op = mg.elementwise("masked", lambda x, m: x * m, [lambda y, x, m: m, None], ["m", ""])
    x, m = leaf(X), leaf(np.ones_like(X))
    op(x, m).sum().backward()
    assert x.grad is not None
    assert m.grad is None


def test_parameters_by_position_by_name_and_by_default():
    for y in (scaled(X, 2.0), scaled(X, by=2.0), scaled(x=X, by=2.0), scaled(X, 2.0, 0.5), scaled(X, 2.0, shift=0.5)):
        np.testing.assert_array_equal(y, 2 * X + 0.5)
    x = leaf(X)
    scaled(x, by=3.0).sum().backward()
    np.testing.assert_array_equal(x.grad, np.full(X.shape, 3.0))


def test_the_engine_sums_over_broadcast_axes_and_casts():
    a, b, c = leaf(np.ones((2, 1))), leaf(np.ones(3, "float32")), leaf(2.0)
    op = mg.elementwise("abc", lambda a, b, c: a * b * c, [lambda y, a, b, c: y / a] * 3, ["y/a"] * 3)
    y = op(a, b, c)
    assert y.shape == (2, 3)
    y.sum().backward()
    assert (a.grad.shape, b.grad.shape, c.grad.shape) == ((2, 1), (3,), ())
    assert (a.grad.dtype, b.grad.dtype) == (np.float64, np.float32)
    assert c.grad == 12


@pytest.mark.parametrize("shape", [(3,), (1, 3), (), (1,), (1, 1, 3), (2, 1), (1, 2, 3), (5000, 1, 1)])
def test_the_sum_over_many_rows_loses_no_digits_of_a_float32(shape):
    b, x = leaf(np.ones(shape, "float32")), np.full((5000, 2, 3), 0.1, "float32")
    (b * x).sum().backward()
    expected = x.astype(float).sum() / b.size
    np.testing.assert_allclose(b.grad, np.full(shape, expected), rtol=5e-6)  # added one after the other: 3e-5 off


def test_the_sum_over_many_numbers_loses_no_digits_of_a_float32():
    """NumPy adds them pairwise: version 2.4 is off by 6e-8, 2.2 by 8e-7."""
    b, x = leaf(np.ones((), "float32")), np.full((1000, 1000), 0.1, "float32")
    (b * x).sum().backward()
    np.testing.assert_allclose(b.grad, x.sum(dtype=float), rtol=2e-6)  # added in parts of 256, as rows are: 4e-6 off


def test_the_sum_over_many_rows_may_be_differentiated():
    rng = np.random.default_rng(0)
    b, x, v = leaf(rng.normal(size=3)), leaf(rng.normal(size=(2500, 3))), rng.normal(size=3)
    (slope,) = mg.grad((np.exp(b) * x**2).sum(), b, create_graph=True)
    by_b, by_x = mg.grad(slope, [b, x], v)
    np.testing.assert_allclose(slope.data, np.exp(b.data) * (x.data**2).sum(axis=0))
    np.testing.assert_allclose(by_b.data, v * slope.data)
    np.testing.assert_allclose(by_x.data, v * np.exp(b.data) * 2 * x.data)


def test_a_rule_runs_on_tensors_where_a_graph_is_wanted():
    seen = []

    def rule(y, x):
        seen.append((type(y), type(x)))
        return 3 * x * x

    op = mg.elementwise("cube", lambda x: x**3, [rule], ["3x²"])
    x = leaf(2.0)
    (g,) = mg.grad(op(x), x, create_graph=True)
    mg.grad(op(x), x)
    assert seen == [(mg.Tensor, mg.Tensor), (np.ndarray, np.ndarray)]
    (second,) = mg.grad(g, x)
    assert second.item() == 12


def test_a_condition_selects():
    """A Boolean derivative selects: where it is False, an infinite upstream gradient contributes 0, not 0·∞."""
    x = leaf([-1.0, 2.0])
    y = mg.relu(x)
    y.backward([np.inf, 3.0])
    assert x.grad.tolist() == [0, 3]


def test_the_numpy_function_and_the_method(clean):
    op = mg.elementwise("cuberoot", np.cbrt, [lambda y, x: 1 / (3 * y * y)], ["1/(3y²)"], numpy=np.cbrt, method=True)
    x = leaf(8.0)
    for y in (op(x), np.cbrt(x), x.cuberoot()):
        assert y.item() == 2
        assert y.node.op is op
    np.cbrt(x).backward()
    assert x.grad == pytest.approx(1 / 12)
    assert type(np.cbrt(X)) is np.ndarray


def test_method_and_numpy_function_of_a_primitive(clean):
    op = mg.primitive("twist", lambda x, k=1: np.rot90(x, k), [lambda g, y, x, k: np.rot90(g, -k)], ["g"],
                      numpy=np.rot90, method=True)  # fmt: skip
    x = leaf(X)
    for y in (x.twist(), x.twist(1), x.twist(k=1), np.rot90(x), np.rot90(x, k=1)):
        np.testing.assert_array_equal(y.data, np.rot90(X))
    with pytest.raises(TypeError):
        x.twist(1, 2)
    assert op.name == "twist"


# Primitive


def test_a_primitive_op():
    op = mg.primitive(
        "weighted", lambda a, b: a @ b, [lambda g, y, a, b: g @ b.T, lambda g, y, a, b: a.T @ g], ["g·Bᵀ", "Aᵀ·g"]
    )
    a, b = leaf(X), leaf(X.T)
    g = np.array([[1.0, 2.0], [3.0, 4.0]])
    op(a, b).backward(g)
    np.testing.assert_allclose(a.grad, g @ X)
    np.testing.assert_allclose(b.grad, X.T @ g)
    assert op.kind == "linear"


def test_a_primitive_of_any_number_of_inputs():
    op = mg.primitive(
        "total", lambda *xs, scale=1.0: scale * sum(xs), lambda i, g, y, *xs, scale: (i + 1) * scale * g, ["(i+1)·g"]
    )
    xs = [leaf(X) for _ in range(4)]
    y = op(*xs, scale=2.0)
    np.testing.assert_array_equal(y.data, 8 * X)
    y.sum().backward()
    assert [x.grad[0, 0] for x in xs] == [2, 4, 6, 8]
    assert op(X, X).tolist() == (2 * X).tolist()


def test_formulas_may_be_left_out():
    op = mg.primitive("f", lambda a, b: a + b, [lambda g, y, a, b: g] * 2)
    assert op.formulas == ["", ""]


def test_an_input_that_is_left_out():
    op = mg.primitive(
        "affine",
        lambda x, b=None: x if b is None else x + b,
        [lambda g, y, x, b: g, lambda g, y, x, b: g],
    )
    x, b = leaf(X), leaf(X)
    op(x, None).sum().backward()
    op(x).sum().backward()
    op(x, b).sum().backward()
    assert x.grad[0, 0] == 3
    assert b.grad[0, 0] == 1


def test_a_rule_may_return_its_upstream_a_view_or_a_broadcast_array():
    """None of them is added to in place: two inputs may get the same array."""
    same = mg.primitive("same", lambda a, b: a + b, [lambda g, y, a, b: g, lambda g, y, a, b: g])
    x, z = leaf(X), leaf(X)
    y = same(x, z)
    g = np.ones_like(X)
    (y + same(y, x) + x.sum()).backward(g)
    np.testing.assert_array_equal(z.grad, 2 * g)
    np.testing.assert_array_equal(x.grad, 2 * g + g + 6)
    np.testing.assert_array_equal(g, np.ones_like(X))


# Errors for wrong rules


@pytest.mark.parametrize(
    ("op", "inputs", "message"),
    [
        (
            mg.primitive("wrong", lambda x: x.sum(axis=0), [lambda g, y, x: g]),
            [X],
            r"wrong: the rule for input 0 returned shape \(3,\), where shape \(2, 3\) was expected",
        ),
        (
            mg.primitive("wrong", lambda a, b: a @ b, [lambda g, y, a, b: g @ b.T, lambda g, y, a, b: g]),
            [X, X.T],
            r"wrong: the rule for input 1 returned shape \(2, 2\), where shape \(3, 2\) was expected",
        ),
        (
            mg.elementwise("wrong", lambda x: 2 * x, [lambda y, x: np.ones((4, 2, 3))], ["?"]),
            [X],
            r"wrong: the rule for input 0 returned shape \(4, 2, 3\), where shape \(2, 3\) was expected",
        ),
        (
            mg.primitive("wrong", lambda *xs: xs[0] + xs[1], lambda i, g, y, *xs: g[i]),
            [X, X],
            r"wrong: the rule for input 0 returned shape \(3,\), where shape \(2, 3\) was expected",
        ),
        (
            mg.fused("wrong", lambda x: (2 * x, None), lambda g, y, saved, x: (g.T,), lambda x: 2 * x),
            [X],
            r"wrong: the rule for input 0 returned shape \(3, 2\), where shape \(2, 3\) was expected",
        ),
        (
            mg.primitive("wrong", lambda x: 2 * x, [lambda g, y, x: None]),
            [X],
            r"wrong: the rule for input 0 returned NoneType, where shape \(2, 3\) was expected",
        ),
        (
            mg.fused("wrong", lambda x: (2 * x, None), lambda g, y, saved, x: (None,), lambda x: 2 * x),
            [X],
            r"wrong: the rule for input 0 returned NoneType, where shape \(2, 3\) was expected",
        ),
    ],
)
def test_a_rule_that_returns_a_wrong_shape(op, inputs, message):
    xs = [leaf(x) for x in inputs]
    with pytest.raises(mg.GraphError, match=message):
        op(*xs).sum().backward()
    assert all(x.grad is None for x in xs)


def test_only_axes_that_the_op_broadcast_are_summed():
    """A vector's gradient of shape (1, 3) is not silently reshaped to (3,)."""
    op = mg.primitive("wrong", lambda x: x[None] * 2, [lambda g, y, x: 2 * g])
    with pytest.raises(mg.GraphError, match=r"returned shape \(1, 3\), where shape \(3,\) was expected"):
        op(leaf(np.ones(3))).sum().backward()


# Wrong calls


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda x: x @ leaf(np.ones((2, 3))), ValueError, r"matmul: \(2, 3\) @ \(2, 3\): inner sizes 3 and 2 differ"),
        (lambda x: x + leaf(np.ones(4)), ValueError, r"add: shapes \(2, 3\) and \(4,\) do not broadcast"),
        (lambda x: scaled(x), TypeError, r"scaled: it is called as scaled\(x, by, shift=0.5\)"),
        (lambda x: scaled(x, 2.0, 0.5, 7), TypeError, r"scaled: it is called as scaled\(x, by, shift=0.5\)"),
        (lambda x: scaled(x, 2.0, by=3.0), TypeError, r"scaled: it is called as scaled\(x, by, shift=0.5\)"),
        (lambda x: scaled(x, 2.0, gain=3.0), TypeError, r"shift=0.5\), not with gain="),
        (lambda x: x + "1", TypeError, "tensors hold float32"),
        (lambda x: x * np.ones(3, "float16"), TypeError, "tensors hold float32"),
        (lambda x: x * 1j, TypeError, "tensors hold float32"),
    ],
)
def test_a_wrong_call_fails_at_the_call(call, kind, message):
    with pytest.raises(kind, match=message):
        call(leaf(X))


def test_a_forward_that_fails_on_arrays_of_its_own():
    padded = mg.elementwise("padded", lambda x: x + np.zeros(len(x) + 1), [1], ["1"])
    with pytest.raises(ValueError, match=r"padded: shape \(2,\): operands .* with shapes \(2,\) \(3,\)"):
        padded([1.0, 2.0])


# Fused


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


# What is recorded


def test_a_node_holds_what_the_op_met():
    x, c = leaf(X), mg.tensor([1.0, 2.0, 3.0])
    y = x * c
    z = y + 2.0
    node = y.node
    assert node.op is mg.multiply
    assert node.inputs == (x, c)
    assert node.arrays[0] is x.data
    assert node.output is y.data
    assert node.params == {}
    assert z.node.inputs == (y, None)
    assert z.node.arrays[1] == 2.0
    assert mg.sum(y, axis=1).node.params == {"axis": 1, "keepdims": False}


def test_nothing_is_recorded_without_need():
    assert (mg.tensor(X) * 2).node is None
    with mg.no_grad():
        assert (leaf(X) * 2).node is None
    assert leaf(X).astype("int64").node is None  # integers have no derivative


def test_the_scope_is_that_of_the_call():
    mg.settings.state.scope = "blocks.3.dense"
    try:
        assert (leaf(X) * 2).node.scope == "blocks.3.dense"
    finally:
        mg.settings.state.scope = ""


@pytest.mark.parametrize(
    ("define", "error", "message"),
    [
        (
            lambda: mg.elementwise("cube", lambda x: x**3, lambda y, x: 3 * x**2, ["3x²"]),
            TypeError,
            "derivatives is a",
        ),
        (
            lambda: mg.elementwise("cube", lambda x: x**3, [1, 1], ["3x²"]),
            ValueError,
            "2 rules, but .* only x",
        ),
        (lambda: mg.elementwise("sine", np.sin, [1, 1], ["1", "1"]), ValueError, "sine: 2 rules, but .* only x"),
        (lambda: mg.elementwise("sum", np.add, [1, 1], ["1"]), ValueError, r"sum: formulas is a list of 2, .* \['1'\]"),
        (lambda: mg.primitive("same", np.copy, [lambda g, y, a: g], "g"), ValueError, "same: formulas is a list of 1,"),
        (lambda: mg.primitive("m", lambda x: -x, lambda g, y, x: -g), TypeError, "m: vjps is a list with one rule per"),
        (
            lambda: mg.elementwise("m", np.sin, [lambda x: 1], ["1"]),
            TypeError,
            r"m: .* input 0 .* \(y, x\): too many pos",
        ),
        (lambda: mg.elementwise("m", np.sin, [lambda g, y, x: g], [""]), TypeError, r"\(y, x\): missing .* 'x'"),
        (
            lambda: mg.primitive("m", np.matmul, [None, lambda y, a, b: a], [""] * 2),
            TypeError,
            r"input 1 .* \(g, y, a, b\)",
        ),
        (
            lambda: mg.elementwise("m", lambda x, k: k * x, [lambda y, x: 1], ["k"]),
            TypeError,
            r"\(y, x, k\): got .* 'k'",
        ),
        (lambda: fused_double(formulas=["2", "3"]), ValueError, r"mine: formulas is a list of 1, .* \['2', '3'\]"),
        (lambda: fused_double(definition=lambda a=None: 2 * a), ValueError, "mine: 0 rules, but .* only a"),
    ],
)
def test_a_wrong_definition_is_refused_at_once(define, error, message):
    with pytest.raises(error, match=message):
        define()


@pytest.mark.parametrize(
    ("derivative", "message"),
    [
        (lambda y, x: None, "mine: the rule for input 0 failed: unsupported operand"),
        (lambda y, x: np.ones(3), "mine: the rule for input 0 failed: operands could not be broadcast"),
        (lambda y, x: np.ones((4, 2)), r"mine: the rule for input 0 returned shape \(4, 2\), where shape \(2,\)"),
        (lambda y, x: x.slope, "mine: the rule for input 0 failed: .* has no attribute 'slope'"),
        (lambda y, x: x[2], "mine: the rule for input 0 failed: index 2 is out of bounds"),
    ],
)
def test_a_rule_that_fails_says_whose_it_is(derivative, message):
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = mg.elementwise("mine", np.sin, [derivative], ["?"])(x)
    with pytest.raises(mg.GraphError, match=message):
        y.backward([1.0, 1.0])
    assert x.grad is None


def test_an_error_of_python_for_one_number_names_numpys_function_for_arrays():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match=r"^mine: shape \(2,\): .*; np.tanh takes an array, math.tanh does not$"):
        mg.elementwise("mine", lambda x: math.tanh(x), [1], ["1"])(x)
    with pytest.raises(
        ValueError, match=r"^mine: shape \(2,\): .*; np.where\(x > 0, …, …\) chooses element by element"
    ):
        mg.elementwise("mine", lambda x: x if x > 0 else 0 * x, [1], ["1"])(x)
    y = mg.elementwise("mine", np.abs, [lambda y, x: 1 if x > 0 else -1], ["±1"])(x)
    with pytest.raises(mg.GraphError, match=r"the rule for input 0 failed: .*; np.where\(x > 0, …, …\) chooses"):
        y.backward([1.0, 1.0])
    y = fused_double(backward=lambda g, y, saved, a: (g if g > 0 else 0 * g,))(x)
    with pytest.raises(mg.GraphError, match=r"its backward failed: .*; np.where\(x > 0, …, …\) chooses"):
        y.backward([1.0, 1.0])


def test_numpys_function_is_named_once_for_nested_ops():
    inner = mg.elementwise("inner", lambda x: x if x > 0 else 0 * x, [1], ["1"])
    outer = fused_double(forward=lambda a: (inner(a), None))
    with pytest.raises(ValueError, match=r"^mine: .*np\.where") as caught:
        outer(mg.tensor([1.0, 2.0]))
    assert str(caught.value).count("np.where") == 1


def test_a_forward_returns_numbers():
    with pytest.raises(TypeError, match="mine: None is not an array; did the function that it comes from forget"):
        mg.elementwise("mine", lambda x: None, [1], ["1"])(mg.tensor([1.0, 2.0]))


def fused_double(forward=lambda a: (2 * a, None), backward=None, definition=lambda a: 2 * a, formulas=None):
    return mg.fused("mine", forward, backward or (lambda g, y, saved, a: (2 * g,)), definition, formulas)


@pytest.mark.parametrize(
    ("backward", "message"),
    [
        (lambda g, y, saved, a: (), "mine: backward returned 0 gradients for 1 inputs"),
        (lambda g, y, a: (2 * g,), "mine: its backward failed: .* takes 3 positional arguments but 4 were given"),
        (lambda g, y, saved, a: (saved * g,), "mine: its backward failed: unsupported operand"),
        (lambda g, y, saved, a: (lambda: saved.mask * g,), "mine: its backward failed: .* has no attribute 'mask'"),
    ],
)
def test_a_backward_that_fails_says_whose_it_is(backward, message):
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(mg.GraphError, match=message):
        fused_double(backward=backward)(x).backward([1.0, 1.0])
    assert x.grad is None


def test_a_fused_forward_may_return_the_output_alone():
    """An output of two rows must not be taken for the pair (output, saved)."""
    x = mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    double = fused_double(forward=lambda a: 2 * a)
    np.testing.assert_array_equal(double(x).data, 2 * x.data)
    assert mg.check_op(double, x.data).ok


# Kernels or definitions


@pytest.mark.parametrize(("value", "expected"), [("numpy", "numpy"), ("", "auto"), (None, "auto")])
def test_the_environment_says_who_computes(value, expected):
    environment = {name: x for name, x in os.environ.items() if name != "MINIGRAD_KERNELS"}
    environment |= {} if value is None else {"MINIGRAD_KERNELS": value}
    code = "import minigrad as mg; print(mg.kernels.choice())"
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == expected


def test_an_unknown_choice_says_where_it_came_from():
    with pytest.raises(ValueError, match=r"kernels\.use: 'cuda' is not one of auto, numba, numpy, definition"):
        mg.kernels.use("cuda")
    environment = {**os.environ, "MINIGRAD_KERNELS": "cuda"}
    result = subprocess.run([sys.executable, "-c", "import minigrad"], env=environment, capture_output=True, text=True)
    assert "MINIGRAD_KERNELS: 'cuda' is not one of" in result.stderr


@pytest.mark.parametrize("way", ["numpy", "definition"])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("tanh", lambda: mg.tanh(None)),
        ("softmax", lambda: mg.softmax(None)),
        ("transpose", lambda: mg.transpose(None)),
        ("matmul", lambda: mg.matmul(None, X)),
        ("norm", lambda: mg.norm(None)),
        ("maximum", lambda: mg.maximum(leaf(X), None)),
        ("cross_entropy", lambda: mg.cross_entropy(None, [0, 1])),
        ("dropout", lambda: mg.dropout(None, 0.5)),
    ],
)
def test_none_is_no_input(way, name, call):
    """None is what a forward without `return` returns."""
    with mg.kernels.use(way), pytest.raises(TypeError, match=f"^{name}: None is not an array; did the function"):
        call()


def test_an_input_that_cannot_be_left_out():
    for name, call in {
        "matmul": lambda: leaf(X) @ None,
        "batch_norm": lambda: mg.batch_norm(leaf(X), None, None),
        "cross_entropy": lambda: mg.cross_entropy(leaf(X), None),
    }.items():
        with mg.kernels.use("numpy"), pytest.raises(TypeError, match=f"^{name}: shape .*'NoneType' object has no"):
            call()


@pytest.mark.parametrize("op", [mg.relu, mg.matmul, mg.dense])
def test_an_op_is_copied_like_a_function(op):
    """A model that keeps one as an attribute can be copied, and is traced as before."""
    x = leaf(X)
    kept = {"op": op, "computed": mg.relu(x)}
    copied = copy.deepcopy(kept)
    assert copied["op"] is op
    assert copied["computed"].node.op is mg.relu
    assert copied["computed"].node.inputs[0] is not x


def test_python_can_say_how_an_op_is_called():
    def shown(function):
        return str(inspect.signature(function))

    assert shown(mg.tanh) == "(x)"
    assert shown(mg.dense) == "(x, w, b, activation=None)"
    assert shown(mg.tensor([1.0]).sum) == "(axis=None, keepdims=False)"  # a method's first input is its object
    total = mg.primitive("total", lambda *xs, scale=1: scale * sum(xs), lambda i, g, y, *xs, scale: scale * g)
    assert shown(total) == "(*xs, scale=1)"
    slope = mg.elementwise("slope", lambda x, by: by * x, [lambda y, x, by: by], ["by"])
    assert shown(slope) == "(x, by)"
