"""Derivatives as functions: grad, vjp, jvp, jacobian, hessian, hvp, and what they leave alone."""

import numpy as np
import pytest

import minigrad as mg

RNG = np.random.default_rng(3)
X = RNG.normal(size=(2, 3))
V = RNG.normal(size=(2, 3))
W = mg.tensor(RNG.normal(size=(3, 4)))


def leaf(x, dtype=None):
    return mg.tensor(x, requires_grad=True, dtype=dtype)


def equal(actual, expected, tolerance=1e-12):
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


# grad


def test_grad_of_leaves_and_of_what_lies_between():
    x = leaf([1.0, 2.0])
    h = x * x
    y = (h * h).sum()
    by_x, by_h = mg.grad(y, [x, h])
    equal(by_x.data, 4 * x.data**3)
    equal(by_h.data, 2 * h.data)
    assert isinstance(by_x, mg.Tensor)
    assert not by_x.requires_grad


def test_an_intermediate_input_and_its_own_input_both_get_their_whole_gradient():
    x = leaf(3.0)
    h = 2 * x
    by_h, by_x = mg.grad(h * x, [h, x])
    equal(by_h.data, 3)
    equal(by_x.data, 12)


def test_an_input_asked_for_twice_gets_its_gradient_twice():
    x = leaf(3.0)
    once, again = mg.grad(x * x, [x, x])
    equal(once.data, 6)
    equal(again.data, 6)
    once.data += 1
    equal(again.data, 6)


@pytest.mark.parametrize("create_graph", [False, True])
def test_an_input_that_is_the_output(create_graph):
    x = leaf([1.0, 2.0])
    h = 3 * x
    by_h, by_x = mg.grad(h, [h, x], [5.0, 7.0], create_graph)
    equal(by_h.data, [5, 7])
    equal(by_x.data, [15, 21])
    equal(mg.grad(x, x, [5.0, 7.0], create_graph)[0].data, [5, 7])


def test_an_input_that_is_also_the_input_of_an_output():
    x = leaf(2.0)
    h = x * x
    y = h * x
    by_h, by_x = mg.grad([h, y], [h, x])  # h + h·x
    equal(by_h.data, 1 + 2)
    equal(by_x.data, 2 * 2 + 3 * 4)


def test_several_outputs_count_as_their_sum():
    x = leaf([1.0, 2.0])
    a, b = (x * x).sum(), np.exp(x)
    (found,) = mg.grad([a, b], [x], [3.0, [1.0, 10.0]])
    equal(found.data, 3 * 2 * x.data + [1, 10] * np.exp(x.data))
    equal(mg.grad([a, a], x)[0].data, 4 * x.data)


@pytest.mark.parametrize("create_graph", [False, True])
def test_zeros_where_an_input_does_not_reach_the_output(create_graph):
    x, z = leaf(2.0, "float32"), leaf([[1.0, 2.0]], "float32")
    by_x, by_z = mg.grad(x * x, [x, z], create_graph=create_graph)
    equal(by_x.data, 4)
    assert by_z.data.tolist() == [[0, 0]]
    assert by_z.dtype == np.float32
    by_z.data += 1  # it is an array of its own
    equal(z.data, [[1, 2]])


@pytest.mark.parametrize(
    "seed", [[1.0, 10.0], (1.0, 10.0), np.array([1.0, 10.0]), mg.tensor([1.0, 10.0]), [np.array([1.0, 10.0])]]
)
@pytest.mark.parametrize("create_graph", [False, True])
def test_grad_outputs_of_every_kind(seed, create_graph):
    x = leaf([1.0, 2.0])
    equal(mg.grad(x * x, x, seed, create_graph)[0].data, [2, 40])


def test_grad_outputs_are_broadcast_and_cast():
    x = leaf(np.ones((2, 3)), "float32")
    (found,) = mg.grad(x * 2, x, mg.tensor([1.0, 2.0, 3.0]), create_graph=True)
    equal(found.data, [[2, 4, 6], [2, 4, 6]])
    assert found.dtype == np.float32


def test_grad_can_be_differentiated_by_its_grad_outputs():
    x, u = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    (g,) = mg.grad(x * x, x, u, create_graph=True)
    equal(mg.grad(g, u, [1.0, 10.0])[0].data, [2, 40])


def test_only_what_leads_to_an_input_is_walked():
    called = []
    spy = mg.elementwise("spy", lambda x: 1.0 * x, [lambda y, x: called.append(x) or 1.0], ["1"])
    x, w = (mg.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    h = spy(x)
    loss = (h * w * w).sum()
    np.testing.assert_array_equal(mg.grad(loss, [w, h])[0].data, [2, 8])
    assert not called
    np.testing.assert_array_equal(mg.grad(loss, [h, x])[1].data, [1, 4])
    assert len(called) == 1


def test_grad_leaves_every_grad_alone():
    x, w = leaf([1.0, 2.0]), leaf(3.0)
    h = x * w
    y = (h * h).sum()
    x.grad = [5.0, 6.0]
    mg.grad(y, [x, h])
    mg.grad(y, x, create_graph=True)
    equal(x.grad, [5, 6])
    assert w.grad is None
    assert h.grad is None


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_gradient_shares_memory_with_nothing(create_graph):
    x, a = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    seed = mg.tensor([5.0, 6.0])
    y = x + a
    found = mg.grad(y, [x, a, y], seed, create_graph)
    for g in found:
        assert g.data.flags.writeable
    held = [seed.data, x.data, a.data, y.data, *(g.data for g in found)]
    for i, one in enumerate(held):
        assert not any(np.shares_memory(one, other) for other in held[i + 1 :])


def test_a_broadcast_gradient_is_writable():
    x = leaf(np.ones((2, 3)))
    for create_graph in (False, True):
        (g,) = mg.grad(x.sum(), x, create_graph=create_graph)
        assert g.data.flags.writeable
        assert g.data.strides != (0, 0)


def test_gradients_have_the_dtype_of_their_input():
    x, w = leaf([1.0, 2.0], "float32"), leaf([1.0, 2.0])
    for g, t in zip(mg.grad((x * w).sum(), [x, w]), (x, w), strict=True):
        assert g.dtype == t.dtype


def test_grad_works_inside_no_grad_unless_a_graph_is_wanted():
    x = leaf(2.0)
    y = x * x
    with mg.no_grad():
        equal(mg.grad(y, x)[0].data, 4)
        with pytest.raises(mg.GraphError, match="create_graph=True inside no_grad"):
            mg.grad(y, x, create_graph=True)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda x, c: mg.grad(x * c, [x, c]), mg.GraphError, "does not require a gradient; make it with requires_grad"),
        (lambda x, c: mg.grad(c * 2, x), mg.GraphError, "does not require a gradient"),
        (lambda x, c: mg.grad(x * c, x), mg.GraphError, r"an output of shape \(2,\) needs gradient="),
        (lambda x, c: mg.grad(x * c, np.ones(2)), TypeError, "must be Tensors, not ndarray"),
        (lambda x, c: mg.grad(3.0, x), TypeError, "must be Tensors, not float"),
        (lambda x, c: mg.grad(np.sin, 2.0), TypeError, "grad: outputs and inputs must be Tensors, not ufunc"),
        (lambda x, c: mg.grad(x, 2.0), TypeError, "must be Tensors, not float"),
        (lambda x, c: mg.grad([np.sign(x)], x), TypeError, "must be Tensors, not ndarray"),
        (lambda x, c: mg.grad([x, x], x, [1.0]), ValueError, "2 outputs need as many grad_outputs, not 1"),
        (lambda x, c: mg.grad(x, x, np.ones(3)), ValueError, r"gradient of shape \(3,\) does not fit .* \(2,\)"),
        (lambda x, c: mg.grad(x, x, mg.tensor(np.ones(3)), True), ValueError, r"\(3,\) does not fit .* \(2,\)"),
    ],
)
def test_wrong_calls_of_grad_say_what_is_wrong(call, kind, message):
    with pytest.raises(kind, match=message):
        call(leaf([1.0, 2.0]), mg.tensor([3.0, 4.0]))


# Derivatives of derivatives


def derivative(f):
    """f′ for a function of one number, written with grad; it can be applied again."""

    def slope(x):
        if not x.requires_grad:
            x = leaf(x)
        return mg.grad(f(x), x, create_graph=True)[0]

    return slope


TANH = [
    lambda t: t,
    lambda t: 1 - t**2,
    lambda t: -2 * t * (1 - t**2),
    lambda t: (1 - t**2) * (6 * t**2 - 2),
    lambda t: 8 * t * (1 - t**2) * (2 - 3 * t**2),
]


@pytest.mark.parametrize("order", range(5))
@pytest.mark.parametrize("at", [-1.7, -0.2, 0.0, 0.4, 2.5])
def test_nested_derivatives_of_tanh(order, at):
    f = np.tanh
    for _ in range(order):
        f = derivative(f)
    equal(f(leaf(at)).item(), TANH[order](np.tanh(at)), 1e-9)


def test_inner_and_outer_variables_are_not_confused():
    def inner(x):  # x · d/dy (x + y)
        y = leaf(3.0)
        return x * mg.grad(x + y, y, create_graph=True)[0]

    equal(mg.jacobian(inner, 2.0), 1)

    def product(x):  # x · d/dy (x·y) = x², though x and y are the same number
        y = leaf(x.data)
        return x * mg.grad(x * y, y, create_graph=True)[0]

    equal(mg.jacobian(product, 3.0), 6)
    equal(mg.hessian(product, 3.0), 2)


def test_the_same_function_nested_in_itself():
    def f(x):
        return x**3

    def g(x):  # f(x)·f″(x) = 6x⁴
        return f(x) * derivative(derivative(f))(x)

    equal(mg.jacobian(g, 2.0), 24 * 8)


def test_derivatives_of_a_polynomial_end_in_zeros():
    x = leaf(2.0)
    y = x * x
    for expected in [4, 2, 0, 0]:
        (y,) = mg.grad(y, x, create_graph=True)
        equal(y.data, expected)


def test_a_gradient_without_a_graph_cannot_be_differentiated():
    x = leaf(2.0)
    (g,) = mg.grad(x**3, x)
    with pytest.raises(mg.GraphError):
        mg.grad(g, x)


def test_backward_through_a_gradient():
    """The gradient of a penalty on a gradient, as in a Wasserstein critic."""
    x, w = leaf([1.0, 2.0]), leaf([3.0, -1.0])
    (g,) = mg.grad((np.tanh(x * w)).sum(), x, create_graph=True)
    (g * g).sum().backward()
    t = np.tanh(x.data * w.data)
    g = (1 - t**2) * w.data
    equal(w.grad, 2 * g * ((1 - t**2) - 2 * t * (1 - t**2) * x.data * w.data))


def test_a_fused_op_made_from_its_own_input_counts_once():
    x = leaf(RNG.normal(size=(3, 2)))
    w = leaf(RNG.normal(size=(2, 2)))
    y = mg.dense(mg.dense(x, w, None, "tanh"), w, None, "tanh").sum()
    (g,) = mg.grad(y, w, create_graph=True)
    with mg.kernels.use("definition"):
        z = mg.dense(mg.dense(x, w, None, "tanh"), w, None, "tanh").sum()
        (expected,) = mg.grad(z, w, create_graph=True)
        (second,) = mg.grad((expected**2).sum(), w)
    equal(g.data, expected.data)
    equal(mg.grad((g**2).sum(), w)[0].data, second.data)


# Functions at a point

FUNCTIONS = [
    lambda x: np.tanh(x) @ W,
    lambda x: mg.softmax(x, axis=0),
    lambda x: (x**3).sum(axis=1),
    lambda x: x[:, 1] * x[0, 0],
    lambda x: mg.logsumexp(x),
    lambda x: x,
    lambda x: x.reshape(3, 2) @ x,
    lambda x: mg.tensor([1.0, 2.0]),
    lambda x: mg.tensor([1.0, 2.0]) * W.sum(),
]


@pytest.mark.parametrize("f", FUNCTIONS)
def test_jacobian_against_differences(f):
    jacobian = mg.jacobian(f, X)
    h = 1e-6
    assert jacobian.shape == f(mg.tensor(X)).shape + X.shape
    for index in np.ndindex(X.shape):
        step = np.zeros_like(X)
        step[index] = h
        slope = (f(mg.tensor(X + step)).data - f(mg.tensor(X - step)).data) / (2 * h)
        equal(jacobian[(..., *index)], slope, 1e-8)


@pytest.mark.parametrize("f", FUNCTIONS)
def test_jvp_and_vjp_are_products_with_the_jacobian(f):
    jacobian = mg.jacobian(f, X)
    y, pullback = mg.vjp(f, X)
    u = np.random.default_rng(5).normal(size=y.shape)
    equal(y, f(mg.tensor(X)).data)
    equal(mg.jvp(f, X, V), np.tensordot(jacobian, V, 2))
    (found,) = pullback(u)
    equal(found, np.tensordot(u, jacobian, y.ndim))
    equal(u.ravel() @ mg.jvp(f, X, V).ravel(), (found * V).sum())


def test_vjp_and_jvp_of_several_inputs():
    a, b = RNG.normal(size=(2, 3)), RNG.normal(size=3)
    y, pullback = mg.vjp(lambda a, b: a @ b, a, b)
    g = np.array([2.0, -1.0])
    for found, expected in zip(pullback(g), [np.outer(g, b), a.T @ g], strict=True):
        equal(found, expected)
    da, db = RNG.normal(size=(2, 3)), RNG.normal(size=3)
    equal(mg.jvp(lambda a, b: a @ b, [a, b], [da, db]), da @ b + a @ db)
    equal(y, a @ b)


SCALARS = [
    lambda x: (np.tanh(x) ** 2).sum(),
    lambda x: mg.logsumexp(x) * x[0, 0],
    lambda x: (x @ W).sum(),  # linear: the second derivative is zero
    lambda x: mg.cross_entropy(x @ W, np.array([0, 3])),
    lambda x: mg.dense(x, W, None, "tanh").sum(),
    lambda x: mg.tensor(3.0),
    lambda x: mg.norm(x).reshape(1, 1),
]


@pytest.mark.parametrize("f", SCALARS)
def test_hessian_is_the_jacobian_of_the_gradient(f):
    hessian = mg.hessian(f, X)
    assert hessian.shape == X.shape + X.shape
    equal(hessian, np.transpose(hessian, (2, 3, 0, 1)))
    h = 1e-5
    for index in np.ndindex(X.shape):
        step = np.zeros_like(X)
        step[index] = h
        ahead, behind = (mg.jacobian(lambda x: f(x).reshape(()), X + s) for s in (step, -step))
        equal(hessian[index], (ahead - behind) / (2 * h), 1e-8)
    equal(mg.hvp(f, X, V), np.tensordot(hessian, V, 2))


def test_a_hessian_in_closed_form():
    a = np.array([[2.0, 1.0], [0.5, 3.0]])
    equal(mg.hessian(lambda x: x @ mg.tensor(a) @ x, [1.0, -2.0]), a + a.T)
    equal(mg.hessian(lambda x: np.sin(x), 0.3), -np.sin(0.3))


@pytest.mark.parametrize(
    "x", [[1.0, 2.0], (1.0, 2.0), [1, 2], np.array([1.0, 2.0]), mg.tensor([1.0, 2.0]), leaf([1, 2])]
)
def test_points_of_every_kind(x):
    expected = np.diag([2.0, 4.0])
    found = mg.jacobian(lambda x: x * x, x)
    equal(found, expected)
    assert type(found) is np.ndarray
    equal(mg.hessian(lambda x: (x**3).sum() / 3, x), expected)
    equal(mg.hvp(lambda x: (x**3).sum() / 3, x, [1, 10]), [2, 40])
    y, pullback = mg.vjp(lambda x: x * x, x)
    equal(y, [1, 4])
    equal(pullback([1, 10])[0], [2, 40])


def test_functions_at_a_point_ignore_an_outer_no_grad_but_not_an_inner_one():
    def f(x):
        with mg.no_grad():
            factor = x * x
        return (factor * x).sum()

    with mg.no_grad():
        equal(mg.jacobian(f, X), X**2)
        equal(mg.jvp(f, X, V), (X**2 * V).sum())
        equal(mg.vjp(f, X)[1](1.0)[0], X**2)
        equal(mg.hvp(lambda x: (x**3).sum(), X, V), 6 * X * V)
        assert mg.gradcheck(np.tanh, X, order=2)
        assert not (leaf(1.0) * 2).requires_grad


def test_float32_stays_float32():
    x = X.astype(np.float32)
    y, pullback = mg.vjp(np.tanh, x)
    found = [y, pullback(y)[0], mg.jvp(np.tanh, x, x), mg.jacobian(np.tanh, x), mg.hessian(lambda x: (x**3).sum(), x)]
    assert {part.dtype for part in found} == {np.dtype(np.float32)}


def test_nothing_else_is_touched():
    x, w = leaf(X), leaf(V)
    x.grad = w.grad = 7
    before = x.data.copy()

    def f(x):
        return np.tanh(x * w).sum()

    y, pullback = mg.vjp(f, x)
    pullback(1.0)
    y += 5
    for result in (pullback(1.0)[0], mg.jvp(f, x, V), mg.jacobian(f, x), mg.hessian(f, x), mg.hvp(f, x, V)):
        assert result.flags.writeable
        result += 1
    equal(x.data, before)
    equal(x.grad, 7)
    equal(w.grad, 7)


def test_a_pullback_can_be_used_again_and_takes_its_own_copy():
    x = np.array([1.0, 2.0])
    y, pullback = mg.vjp(lambda x: x * x, x)
    x += 100
    y += 100
    for _ in range(2):
        equal(pullback([1.0, 1.0])[0], [2, 4])


def test_jacobians_of_empty_arrays():
    assert mg.jacobian(lambda x: x * 2, np.zeros((0, 2))).shape == (0, 2, 0, 2)
    assert mg.jacobian(lambda x: x[:0], np.ones(3)).shape == (0, 3)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: mg.jacobian(lambda x: 3.0, X), TypeError, "jacobian: f must return a Tensor, not float"),
        (lambda: mg.vjp(lambda x: x.data, X), TypeError, "vjp: f must return a Tensor, not ndarray"),
        (lambda: mg.hvp(lambda x: None, X, X), TypeError, "hvp: f must return a Tensor, not NoneType"),
        (lambda: mg.hessian(np.tanh, X), ValueError, r"hessian: f must return a single number.*\(2, 3\)"),
        (lambda: mg.hvp(np.tanh, X, X), ValueError, r"hvp: f must return a single number.*\(2, 3\)"),
        (lambda: mg.hvp(np.sum, X, np.ones(4)), ValueError, r"hvp: x \(2, 3\) and v \(4,\) must have the same shape"),
        (lambda: mg.jvp(np.tanh, X, np.ones(4)), ValueError, r"jvp: xs \[\(2, 3\)\] and vs \[\(4,\)\] must"),
        (lambda: mg.jvp(lambda a, b: a * b, [X, X], [V]), ValueError, r"jvp: xs \[\(2, 3\), \(2, 3\)\] and vs"),
        (lambda: mg.vjp(np.tanh, X)[1](np.ones(4)), ValueError, r"\(4,\) does not fit .*\(2, 3\)"),
        (lambda: mg.jacobian(np.tanh, np.array([1, 2])), TypeError, "only floating tensors can require gradients"),
    ],
)
def test_wrong_calls_say_what_is_wrong(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
