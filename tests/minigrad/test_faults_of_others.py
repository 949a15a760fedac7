"""Faults seen in other small engines, each with the test that they lack.

The names in the docstrings are those of the engines in which the fault was seen.
"""

import gc
import sys
import weakref

import numpy as np
import pytest

import minigrad as mg


def leaf(x, dtype=None):
    return mg.tensor(x, requires_grad=True, dtype=dtype)


# Depth and memory


def test_deep_graph_needs_no_recursion():
    """micrograd: RecursionError after 1,000 ops, in the sort or in the deletion."""
    x = leaf(1.0)
    y = x
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(200)
    try:
        for _ in range(50_000):
            y = y + 0.5
        y.backward()
        del y
    finally:
        sys.setrecursionlimit(limit)
    assert x.grad == 1


def test_graph_has_no_reference_cycles():
    """micrograd: closures that hold their own output keep every graph alive until the collector runs."""
    gc.collect()
    gc.disable()
    try:
        x = leaf(np.ones(3))
        h = np.tanh(x) * x
        loss = (h @ h) / 2
        loss.backward(retain_grad=True)
        alive = [weakref.ref(t) for t in (h, loss)] + [weakref.ref(h.data)]
        del h, loss
        assert [reference() for reference in alive] == [None] * 3
        assert gc.collect() == 0
    finally:
        gc.enable()


# The second time


def test_backward_twice_adds_twice_and_starts_fresh_in_between():
    """Three engines: the second call starts from what the first one left in the intermediate tensors."""
    x = leaf(3.0)
    h = x * x
    y = h * h
    y.backward(retain_grad=True)
    y.backward(retain_grad=True)
    assert x.grad == 2 * 4 * 27
    assert h.grad == 18


def test_two_losses_on_one_trunk():
    """Three engines: the trunk's gradient of the first loss is counted again in the second."""
    x = leaf([1.0, 2.0])
    trunk = np.exp(x)
    (trunk * 2).sum().backward()
    (trunk * trunk).sum().backward()
    np.testing.assert_allclose(x.grad, 2 * np.exp(x.data) + 2 * np.exp(2 * x.data))
    x.zero_grad()
    trunk.sum().backward()
    np.testing.assert_allclose(x.grad, np.exp(x.data))


def test_a_value_is_used_again_after_backward():
    """MyGrad, DeZero: the graph is gone, or gradients turned None, after backward()."""
    x = leaf(2.0)
    h = x * x
    (h * 3).backward()
    later = h * 5
    later.backward()
    assert x.grad == (3 + 5) * 4


# Arrays shared by accident


def test_the_gradients_of_a_sum_do_not_share_an_array():
    """DeZero: `a + b` hands one array to both, and weight decay then hits it twice."""
    a, b = leaf(np.zeros(2)), leaf(np.zeros(2))
    upstream = np.ones(2)
    (a + b).backward(upstream)
    a.grad += 0.1 * np.ones(2)
    assert np.array_equal(b.grad, [1, 1])
    assert np.array_equal(upstream, [1, 1])


def test_the_gradient_of_a_sum_can_be_written_to():
    """DeZero: the gradient of sum() is a read-only broadcast view."""
    x = leaf(np.ones((2, 3)))
    x.sum().backward()
    assert x.grad.flags.writeable
    assert x.grad.flags.owndata
    x.grad[0, 0] = 7
    assert np.array_equal(x.grad, [[7, 1, 1], [1, 1, 1]])


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x,
        lambda x: x + 0,
        lambda x: x.T.T,
        lambda x: x.reshape(-1),
        lambda x: x[:, :],
        lambda x: x[[0, 0, 1]],
        lambda x: x @ x,
        lambda x: np.ones((4, 3, 2)) @ x,
    ],
)
def test_leaf_gradients_are_owned(f):
    """Several: the leaf's gradient is the upstream array itself, or a view of it."""
    x = leaf(np.ones((2, 2)), "float32")
    y = f(x)
    upstream = np.ones(y.shape)
    y.backward(upstream)
    assert not np.shares_memory(x.grad, upstream)
    assert x.grad.flags.writeable
    assert x.grad.flags.owndata
    assert [x.grad.dtype, x.grad.shape] == [x.dtype, x.shape]


# Dtypes


@pytest.mark.parametrize("number", [2, 2.0, -0.5, True])
@pytest.mark.parametrize("op", ["__add__", "__rsub__", "__mul__", "__rtruediv__", "__pow__", "__rpow__"])
def test_python_numbers_leave_float32_alone(op, number):
    """MyGrad, DeZero: `float32 * 2.0` becomes float64, and with it everything behind."""
    x = leaf([1.5, 2.5], "float32")
    y = getattr(x, op)(abs(number) if op == "__rpow__" else number)
    assert y.dtype == np.float32
    y.sum().backward()
    assert x.grad.dtype == np.float32


def test_a_network_in_float32_stays_there():
    """MyGrad, DeZero: one constant in one rule and the backward pass runs in float64."""
    rng = np.random.default_rng(0)
    x, w, b = (
        leaf(rng.normal(size=(4, 3)), "float32"),
        leaf(rng.normal(size=(3, 2)), "float32"),
        leaf(np.zeros(2), "float32"),
    )
    h = mg.gelu(x @ w + b) * 0.5 + mg.softplus(x @ w) / 3 - mg.leaky_relu(x @ w) ** 2
    loss = mg.cross_entropy(h, [0, 1, 1, 0]) + 0.01 * (w * w).sum() + mg.std(h) + mg.norm(h) + mg.var(h, axis=0).mean()
    loss.backward(retain_grad=True)
    assert {t.dtype for t in (h, loss)} | {t.grad.dtype for t in (x, w, b, h)} == {np.dtype("float32")}


# Shapes


def test_a_rule_that_returns_a_wrong_shape_is_an_error():
    """MyGrad, PyTorch: the contribution is silently summed or broadcast to the input's shape."""
    wrong = mg.primitive("wrong", lambda x: x.sum(axis=0), [lambda g, y, x: np.ones((5, *x.shape))], ["?"])
    x = leaf(np.ones((2, 3)))
    with pytest.raises(
        mg.GraphError, match=r"wrong: the rule for input 0 returned shape \(5, 2, 3\), where shape \(2, 3\)"
    ):
        wrong(x).sum().backward()


def test_only_axes_that_were_broadcast_are_summed():
    """MyGrad: an axis of length 1 that nobody broadcast is summed as well."""
    a, b = leaf(np.ones((1, 3))), leaf(np.ones((1, 1)))
    (a * b).backward([[1.0, 10.0, 100.0]])
    assert np.array_equal(a.grad, [[1, 10, 100]])
    assert np.array_equal(b.grad, [[111]])


# Derivatives at special points


def test_the_maximum_of_a_value_with_itself_has_derivative_1():
    """Several: 0 or 2, when both sides win or neither does."""
    x = leaf([1.0, -1.0])
    assert np.array_equal(mg.grad(mg.maximum(x, x).sum(), x)[0].data, [1, 1])
    assert np.array_equal(mg.grad(mg.minimum(x, x).sum(), x)[0].data, [1, 1])
    assert np.array_equal(mg.grad(mg.max(mg.stack([x, x, x]), axis=0).sum(), x)[0].data, [1, 1])


def test_the_product_with_zeros_is_right():
    """Several: y/x is NaN or 0 where a factor is 0."""
    for x, expected in (([0.0, 2.0, 3.0], [6, 0, 0]), ([0.0, 0.0, 3.0], [0, 0, 0]), ([4.0, 2.0, 3.0], [6, 12, 8])):
        x = leaf(x)
        assert np.array_equal(mg.grad(mg.prod(x), x)[0].data, expected)


def test_x_to_the_0_at_0_has_derivative_0():
    """Several: 0·0⁻¹ is NaN."""
    x = leaf([0.0, 2.0])
    assert np.array_equal(mg.grad((x**0).sum(), x)[0].data, [0, 0])
    assert np.array_equal(mg.grad((x ** np.zeros(2)).sum(), x)[0].data, [0, 0])


def test_where_with_an_infinite_branch():
    """Several: 0·∞ of the branch that was not taken is NaN."""
    x = leaf([0.0, 4.0])
    with np.errstate(divide="ignore"):
        y = mg.where(x > 0, mg.sqrt(mg.where(x > 0, x, 1.0)), 0.0)
        assert np.array_equal(mg.grad(y.sum(), x)[0].data, [0, 0.25])
        assert np.array_equal(mg.grad(mg.sqrt(mg.relu(x - 1)).sum(), x)[0].data[0], 0)


@pytest.mark.parametrize(
    "name", ["sigmoid", "tanh", "softplus", "silu", "gelu", "elu", "softmax", "logsumexp", "log_softmax"]
)
def test_no_overflow_warning_at_large_numbers(dtype, name):
    """Several: exp(−x) overflows in sigmoid, cosh in tanh'. (Warnings are errors in this suite.)"""
    for number in (1e3, 1e30, -1e3, -1e30):
        x = leaf([number, 0.0], dtype)
        y = getattr(mg, name)(x)
        y.sum().backward()
        assert np.all(np.isfinite(y.data)), number
        assert np.all(np.isfinite(x.grad)), number


# NumPy on the left


def test_numpy_never_makes_arrays_of_objects():
    """Several: `np.float64(2) * t` and `array @ t` give arrays of dtype object, `np.exp(t)` an error."""
    t, array = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    results = [
        np.float64(2) * t,
        array @ t,
        np.exp(t),
        array * t,
        array - t,
        np.add(array, t),
        np.sum(t),
        np.stack([t, t]),
    ]
    for y in results:
        assert isinstance(y, mg.Tensor)
        assert y.dtype == np.float64
        assert y.requires_grad


def test_a_gradient_check_uses_random_upstream_gradients():
    """Several: with ones, softmax and batch normalisation have gradient 0, right or wrong."""
    x = leaf(np.random.default_rng(0).normal(size=(4, 3)))
    assert np.allclose(mg.grad(mg.softmax(x), x, np.ones((4, 3)))[0].data, 0)

    wrong = mg.primitive("wrong_softmax", lambda x: mg.softmax(x), [lambda g, y, x: 0 * g], ["0"])
    with pytest.raises(AssertionError):
        mg.gradcheck(wrong, x)
