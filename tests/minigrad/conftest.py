"""What the tests of ops share: NumPy's function in float64 as the reference, and how many examples are tried."""

import numpy as np
import pytest
from hypothesis import settings

import minigrad as mg
from minigrad import Tensor

# Hypothesis tries the same small examples in every run, however slow the machine is
settings.register_profile("steady", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("steady")

STEP = 1e-5
VIEWS = {  # the same numbers in other memory layouts
    "reversed": lambda t: t[(slice(None, None, -1),) * t.ndim][(slice(None, None, -1),) * t.ndim],
    "transposed": lambda t: mg.reshape(t.T, (1, *t.T.shape))[0].T,
    "strided": lambda t: mg.repeat(t, 2, axis=0)[::2] if t.ndim else t,
    "read-only": lambda t: mg.broadcast_to(t, t.shape),
}


def slopes(f, xs, i):
    """∂f/∂xᵢ of a function of arrays that gives a number, by central differences."""
    x = xs[i]
    found = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        ends = []
        for step in (STEP, -STEP):
            moved = x.copy()
            moved[place] += step
            ends.append(f(*xs[:i], moved, *xs[i + 1 :]))
        found[place] = (ends[0] - ends[1]) / (2 * STEP)
    return found


def differentiable(x):
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def flat(outputs):
    """One Tensor or array, or the first floating one of several."""
    several = outputs if isinstance(outputs, (tuple, list)) else [outputs]
    return next(y for y in several if y.dtype.kind == "f")


@pytest.fixture
def kernels_run():
    """For tests that define kernels of their own: they run whatever the environment says."""
    with mg.kernels.use("auto"):
        yield


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture
def close(dtype):
    """assert_allclose with the tolerance that the dtype allows."""
    rtol, atol = {"float32": (2e-4, 2e-5), "float64": (1e-6, 1e-8)}[dtype.name]

    def close(actual, expected, scale=1.0):
        np.testing.assert_allclose(actual, expected, rtol=rtol * scale, atol=atol * scale)

    return close


@pytest.fixture
def agrees(dtype, close):
    """`agrees(f, reference, *xs)`: values, gradients and second derivatives of f are those of NumPy's `reference`.

    xs are float64 arrays; anything else (integers, numbers, None) is passed on as it is. f runs in `dtype`,
    the reference and its differences in float64, and the upstream gradients are random.
    """
    rng = np.random.default_rng(0)

    def on_leaves(f, xs, number, views=None):
        """The output of f on fresh leaves, and those leaves."""
        leaves = [mg.tensor(x, requires_grad=True, dtype=number) if differentiable(x) else x for x in xs]
        inputs = [views(t) if views and isinstance(t, Tensor) else t for t in leaves]
        y = flat(f(*inputs))
        wanted = [t for t in leaves if isinstance(t, Tensor)]
        return y, wanted

    def agrees(f, reference, *xs, order=2, scale=1.0):
        xs = [np.asarray(x) if isinstance(x, (list, np.ndarray, np.floating)) else x for x in xs]
        places = [i for i, x in enumerate(xs) if differentiable(x)]
        arrays = [x.astype(dtype) if differentiable(x) else x for x in xs]
        before = [np.copy(x) for x in arrays]
        plain = flat(f(*arrays))
        assert isinstance(plain, (np.ndarray, np.generic)) or not isinstance(plain, Tensor)
        for x, copy in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(x, copy)
        expected = np.asarray(flat(reference(*xs)))
        y, wanted = on_leaves(f, xs, dtype)
        assert y.shape == expected.shape
        assert y.dtype == dtype == plain.dtype
        close(y.data, expected, scale)
        last_bits = 8 * np.finfo(dtype).eps
        np.testing.assert_allclose(plain, y.data, rtol=last_bits, atol=last_bits)

        upstream = rng.normal(size=expected.shape)
        first = mg.grad(y, wanted, upstream.astype(dtype), create_graph=True)
        numeric = [slopes(lambda *a: np.sum(upstream * flat(reference(*a))), xs, i) for i in places]
        for g, n, leaf in zip(first, numeric, wanted, strict=True):
            assert g.shape == leaf.shape
            assert g.dtype == dtype
            close(g.data, n, scale)
        for name, view in VIEWS.items():
            seen, leaves = on_leaves(f, xs, dtype, view)
            np.testing.assert_allclose(seen.data, y.data, rtol=1e-5, atol=1e-6, err_msg=name)
            for g, again in zip(first, mg.grad(seen, leaves, upstream.astype(dtype)), strict=True):
                np.testing.assert_allclose(g.data, again.data, rtol=1e-4, atol=1e-5, err_msg=name)
        if order < 2:
            return
        weights = [rng.normal(size=xs[i].shape) for i in places]

        def slope(*moved):
            """Σ w·∂y/∂x as a number, whose derivatives are the second derivatives."""
            y, leaves = on_leaves(f, moved, np.float64)
            found = mg.grad(y, leaves, upstream)
            return sum(np.sum(w * g.data) for w, g in zip(weights, found, strict=True))

        total = sum((g * w.astype(dtype)).sum() for g, w in zip(first, weights, strict=True))
        second = mg.grad(total, wanted)
        for g, i in zip(second, places, strict=True):
            close(g.data, slopes(slope, xs, i), 10 * scale)

    return agrees
