"""Ops: elementwise and primitive ones, what a call does, and what it records."""

import copy
import inspect

import numpy as np
import pytest

import minigrad as mg

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
    assert mg.elementwise("f", np.sin, [np.cos], ["cos"]).latex is None


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


# Primitive


def test_method_and_numpy_function_of_a_primitive(clean):
    op = mg.primitive("twist", lambda x, k=1: np.rot90(x, k), [lambda g, y, x, k: np.rot90(g, -k)], ["g"],
                      numpy=np.rot90, method=True)  # fmt: skip
    x = leaf(X)
    for y in (x.twist(), x.twist(1), x.twist(k=1), np.rot90(x), np.rot90(x, k=1)):
        np.testing.assert_array_equal(y.data, np.rot90(X))
    with pytest.raises(TypeError):
        x.twist(1, 2)
    assert op.name == "twist"


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


# Broadcasting


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


# Calls


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


def test_parameters_by_position_by_name_and_by_default():
    for y in (scaled(X, 2.0), scaled(X, by=2.0), scaled(x=X, by=2.0), scaled(X, 2.0, 0.5), scaled(X, 2.0, shift=0.5)):
        np.testing.assert_array_equal(y, 2 * X + 0.5)
    x = leaf(X)
    scaled(x, by=3.0).sum().backward()
    np.testing.assert_array_equal(x.grad, np.full(X.shape, 3.0))


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


@pytest.mark.parametrize("x", [X, leaf(X), mg.tensor(X)], ids=["array", "leaf", "constant"])
@pytest.mark.parametrize("kind", ["complex128", "float16", "str"])
def test_a_result_that_tensors_cannot_hold_is_refused(kind, x):
    """Without this, what is computed from a complex result has no history: its gradients are zero."""
    odd = mg.elementwise("odd", lambda x: x.astype(kind), [1], ["1"])
    with pytest.raises(TypeError, match=r"^odd: shape \(2, 3\): tensors hold float32"):
        odd(x)


def test_small_integers_are_not_rounded_to_float16():
    for kind in ("int8", "uint8", "bool"):
        with pytest.raises(TypeError, match=r"^exp: .*not float16; convert"):
            mg.exp(np.ones(3, kind))  # NumPy's result is float16


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


def test_a_function_of_numbers_that_numpy_applies_to_each_element_is_a_forward():
    scaled = mg.elementwise("scaled", np.vectorize(lambda a, b: a * b if a > 0 else 0.0), [None, None], ["", ""])
    assert str(inspect.signature(scaled)) == "(a, b)"  # np.vectorize itself takes (*args, **kwargs)
    assert scaled(mg.tensor([1.0, -2.0]), 3.0).data.tolist() == [3.0, 0.0]


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
