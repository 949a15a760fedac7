"""What a dense layer does beside its matrix products: with kernels, with NumPy, by definition, and mixed."""

import itertools

import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels import twins, use
from minigrad.ops import affine
from minigrad.ops.affine import activations, bias_activation, bias_activation_backward

pytest.importorskip("numba")

from minigrad.kernels.affine import ONE_PASS

DTYPES = ["float32", "float64"]
SHAPES = [(0, 3), (1, 1), (5, 0), (4, 3), (6, 17), (33, 64), (1, 7), (50, 10)]


def close(actual, expected, scale=1.0):
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    rtol = {"float32": 1e-5, "float64": 1e-12}[actual.dtype.name]
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=scale * np.finfo(actual.dtype).eps)


def strided(x):
    return np.stack([x, x], axis=-1)[..., 0]


def locked(x):
    x = x.copy()
    x.flags.writeable = False
    return x


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("layout", "activation"),
    [
        *itertools.product([np.asarray, strided], [*activations, None]),
        *itertools.product([locked], [*ONE_PASS, None]),  # the others are kernels of activations
    ],
)
def test_both_ways_equal_numpys_lines(layout, activation, dtype):
    rng = np.random.default_rng(0)
    for shape, with_bias in itertools.product(SHAPES, (True, False)):
        z, g = rng.normal(size=(2, *shape)).astype(dtype)
        b = rng.normal(size=shape[-1]).astype(dtype) if with_bias else None
        with use("numpy"):
            y, saved = bias_activation.line(z, b, activation)
            by_z, by_b = bias_activation_backward.line(g, y, saved, b, activation)
        found, kept = bias_activation.kernel(layout(z.copy()), b, activation)
        close(found, y)
        assert (kept is None) == (saved is None)
        by_z_found, by_b_found = bias_activation_backward.kernel(layout(g), y, saved, b, activation)
        close(by_z_found, by_z, 10)
        assert (by_b_found is None) == (by_b is None)
        if with_bias:
            close(by_b_found, by_b, 10 * max(1, z.size))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", [*activations, None])
@pytest.mark.parametrize(("batch", "inputs", "outputs"), [((6,), 5, 7), ((0,), 2, 3), ((2, 3), 4, 64), ((), 3, 20)])
def test_any_backward_pass_follows_any_forward_pass(activation, dtype, batch, inputs, outputs):
    """Kernels and NumPy save the same arrays, so each can go back from where the other went forward."""
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=shape).astype(dtype) for shape in ((*batch, inputs), (inputs, outputs), (outputs,))]
    upstream = rng.normal(size=(*batch, outputs)).astype(dtype)
    found = []
    for there, back in [("definition", "definition"), *itertools.product(("numba", "numpy"), repeat=2)]:
        x, w, b = (mg.tensor(a, requires_grad=True, dtype=dtype) for a in arrays)
        with use(there):
            y = mg.dense(x, w, b, activation)
        with use(back):
            y.backward(upstream)
        found.append((y.data, x.grad, w.grad, b.grad))
    for others in found[1:]:
        for actual, expected in zip(others, found[0], strict=True):
            close(actual, expected, 100)


@pytest.mark.parametrize("choice", ["auto", "numba", "numpy", "definition"])
@pytest.mark.parametrize("activation", [None, "relu", "tanh", "softplus"])
def test_the_gradient_of_a_bias_over_many_rows_loses_no_digits_of_a_float32(activation, choice):
    x = np.full((20_001, 2), 0.1, "float32")
    w, b = (mg.tensor(np.full(shape, 0.1, "float32"), requires_grad=True) for shape in ((2, 3), (3,)))
    with use(choice):
        y = mg.dense(x, w, b, activation)
        y.backward(np.full(y.shape, 0.1))
    one = mg.tensor(b.data, requires_grad=True, dtype=float)
    mg.dense(x[:1].astype(float), w.data.astype(float), one, activation).backward(np.full((1, 3), 0.1))
    np.testing.assert_allclose(b.grad, 20_001 * one.grad, rtol=5e-6)  # added one after the other: 1e-4 off


def test_only_the_products_that_are_needed_are_computed(monkeypatch):
    w, b = (mg.tensor(np.ones(shape), requires_grad=True) for shape in ((3, 4), (4,)))
    with use("auto"):
        y = mg.dense(np.ones((5, 3)), w, b, "tanh")  # the first layer of a network: its input needs no gradient
    calls = []
    monkeypatch.setattr(affine, "matrix_product", lambda a, b: calls.append((a, b)) or a @ b)
    y.backward(np.ones((5, 4)))
    assert len(calls) == 1


@pytest.mark.parametrize("choice", ["numba", "numpy", "definition"])
@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 2, 3), (1, 3)])
@pytest.mark.parametrize("activation", [None, "sigmoid", "softplus"])
def test_each_gradient_has_memory_of_its_own(activation, shape, choice):
    rng = np.random.default_rng(0)
    x, w, b = (mg.tensor(rng.normal(size=s), requires_grad=True) for s in (shape, (3, 3), (3,)))
    with use(choice):
        y = mg.dense(x, w, b, activation)
        upstream = np.ones(y.shape)
        y.backward(upstream)
        first = [t.grad for t in (x, w, b)]
        before = [g.copy() for g in first]
        trace = mg.trace(y, upstream, backward=True)
    arrays = [upstream, y.data, y.node.saved, *(t.data for t in (x, w, b)), *(t.grad for t in (x, w, b)), *first]
    arrays += [edge.contribution for edge in trace.edges()]
    held = [array for array in arrays if array is not None]
    for g in first:
        assert sum(np.shares_memory(g, array) for array in held) == 1  # itself
        g *= 2
    for t, g in zip((x, w, b), before, strict=True):
        np.testing.assert_allclose(t.grad, 2 * g)


def test_what_came_into_an_activation_is_kept_only_where_the_slope_needs_it():
    x, w = mg.tensor(np.ones((2, 3)), requires_grad=True), np.ones((3, 4))
    with use("auto"):
        kept = {name for name in activations if mg.dense(x, w, None, name).node.saved is not None}
    assert kept == {"softplus", "silu", "gelu", "softsign"}


@pytest.mark.parametrize("choice", ["numba", "numpy"])
def test_of_two_dtypes_the_larger_comes_out(choice):
    with use(choice):
        x = mg.tensor(np.ones((40, 30)), requires_grad=True, dtype="float32")
        w, b = (mg.tensor(np.ones(shape), requires_grad=True, dtype="float64") for shape in ((30, 20), (20,)))
        y = mg.dense(x, w, b, "sigmoid")
        y.sum().backward()
    assert y.dtype == w.grad.dtype == np.float64
    assert x.grad.dtype == np.float32


@pytest.mark.parametrize("activation", activations)
def test_nan_comes_through(activation):
    z = np.array([[np.nan, 1.0], [0.5, -1.0]], np.float32)
    y, saved = twins["bias_activation"].kernel(z, np.zeros(2, np.float32), activation)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(z))
    by_z, by_b = twins["bias_activation_backward"].kernel(
        z, np.ones_like(z), saved, np.zeros(2, np.float32), activation
    )
    if activation not in ("relu", "hard_tanh"):  # where these are flat, nothing passes
        assert np.isnan(by_z[0, 0])
        assert np.isnan(by_b[0])
    assert np.isfinite(by_z[1]).all()


def test_an_input_that_was_forgotten():
    with pytest.raises(TypeError, match="dense: None is not an array; did the function that it comes from"):
        mg.dense(None, np.ones((2, 3)), None)
