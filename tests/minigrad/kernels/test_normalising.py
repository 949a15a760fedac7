"""The kernels of batch_norm equal their NumPy lines and the definition, on batches of every size and layout."""

import numpy as np
import pytest

import minigrad as mg
from layers import BatchNorm
from minigrad.ops import networks
from minigrad.ops.networks import batch_norm_backward, batch_norm_forward, normalise, running_moments

pytest.importorskip("numba")

every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
SHAPES = [(1, 1), (2, 3), (3, 0), (4, 1), (5, 8), (7, 17), (32, 64), (61, 130)]
LAYOUTS = {
    "plain": lambda x: x,
    "columns first": np.asfortranarray,
    "every other": lambda x: np.repeat(np.repeat(x, 2, axis=0), 2, axis=1)[::2, ::2],
    "backwards": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
}


def close(dtype):
    return {"rtol": 1e-12, "atol": 1e-12} if dtype == np.float64 else {"rtol": 1e-5, "atol": 1e-5}


def numbers(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    x, g = rng.normal(2, 3, shape), rng.normal(size=shape)
    gamma, beta = rng.uniform(0.5, 2, shape[1]), rng.normal(size=shape[1])
    return [a.astype(dtype) for a in (x, g, gamma, beta)]


def there_and_back(kernels, x, g, gamma, beta, eps=1e-5):
    with mg.kernels.use(kernels), np.errstate(all="ignore"):
        y, saved = batch_norm_forward(x, gamma, beta, eps)
        return y, *saved, *batch_norm_backward(g, y, saved, x, gamma, beta, eps)


@every_dtype
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_as_the_lines(shape, layout, dtype):
    x, g, gamma, beta = numbers(shape, dtype)
    x, g = layout(x), layout(g)
    ours = there_and_back("numba", x, g, gamma, beta)
    for mine, line in zip(ours, there_and_back("numpy", x, g, gamma, beta), strict=True):
        assert mine.dtype == dtype
        np.testing.assert_allclose(mine, line, **close(dtype))
    for mine, again in zip(ours, there_and_back("numba", x, g, gamma, beta), strict=True):
        np.testing.assert_array_equal(mine, again)
    if len(x) < 2:
        return  # one row has no variance
    with mg.kernels.use("numba"):
        moved = running_moments(x, gamma, abs(beta), 0.3)
    for mine, line in zip(moved, running_moments.line(x, gamma, abs(beta), 0.3), strict=True):
        assert mine.dtype == dtype
        np.testing.assert_allclose(mine, line, **close(dtype))


def test_arrays_that_may_not_be_written():
    """In one dtype only, since Numba compiles again for them."""
    arrays = numbers((7, 17), np.float32)
    for array in arrays:
        array.flags.writeable = False
    x, _, gamma, _ = arrays
    results = []
    for kernels in ("numba", "numpy"):
        with mg.kernels.use(kernels):
            results.append([*there_and_back(kernels, *arrays), *running_moments(x, gamma, gamma, 0.3)])
    for mine, line in zip(*results, strict=True):
        np.testing.assert_allclose(mine, line, **close(np.float32))


@every_dtype
def test_as_the_definition(dtype):
    x, g, gamma, beta = numbers((37, 19), dtype)
    results = []
    for kernels in ("numba", "definition"):
        tensors = [mg.tensor(a, dtype=dtype, requires_grad=True) for a in (x, gamma, beta)]
        with mg.kernels.use(kernels):
            y = mg.batch_norm(*tensors)
            y.backward(g)
        results.append([y.data, *(t.grad for t in tensors)])
    for mine, definition in zip(*results, strict=True):
        np.testing.assert_allclose(mine, definition, **close(dtype))


@every_dtype
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_column_that_is_not_finite_spoils_no_other(dtype, bad):
    x, g, gamma, beta = numbers((9, 12), dtype)
    x[4, 3], g[2, 8] = bad, bad
    ours, lines = there_and_back("numba", x, g, gamma, beta), there_and_back("numpy", x, g, gamma, beta)
    for mine, line in zip(ours, lines, strict=True):
        np.testing.assert_array_equal(np.isfinite(mine), np.isfinite(line))
    assert np.isfinite(ours[0]).sum() == 9 * 11
    assert np.isfinite(ours[3]).sum() == 9 * 10


@every_dtype
def test_numbers_far_from_0_and_columns_without_variance(dtype):
    x, g, gamma, beta = numbers((64, 5), dtype)
    x[:, 0] = 1000 + 0.01 * x[:, 0]
    x[:, 1] = -7.25
    x[:, 2] *= 1e-20
    y, mean, scale, *gradients = there_and_back("numba", x, g, gamma, beta)
    exact = x.astype(np.longdouble)
    centred = exact - exact.mean(axis=0)
    expected = centred / np.sqrt((centred**2).mean(axis=0) + 1e-5) * gamma + beta
    np.testing.assert_allclose(y, expected.astype(float), rtol=0, atol=0.05 if dtype == np.float32 else 1e-9)
    assert np.array_equal(y[:, 1], np.full(64, beta[1]))
    assert all(np.isfinite(a).all() for a in (mean, scale, *gradients))


def test_of_two_dtypes_numpy_decides():
    x, g, gamma, beta = numbers((40, 20), np.float32)
    with mg.kernels.use("numba"):
        assert not normalise.serves(x, gamma.astype(np.float64), beta)
        assert networks.normalise_backward.serves(g, x, gamma)
        y, saved = batch_norm_forward(x, gamma.astype(np.float64), beta, 1e-5)
        assert y.dtype == np.float64
        assert batch_norm_backward(y, y, saved, x, gamma.astype(np.float64), beta, 1e-5)[0].dtype == np.float64


@pytest.mark.parametrize("kernels", ["numba", "numpy", "definition"])
def test_the_layer_follows_the_batch(kernels):
    x = np.random.default_rng(2).normal(3, 2, (50, 30))
    layer = BatchNorm(30, momentum=1.0)
    with mg.kernels.use(kernels):
        layer(x)
    np.testing.assert_allclose(layer.running_mean, x.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(layer.running_var, x.var(axis=0, ddof=1), rtol=1e-13)


def test_the_dtype_of_eps_counts_whatever_the_size():
    for eps, dtype in ((1e-5, np.float32), (np.float32(1e-5), np.float32), (np.float64(1e-5), np.float64)):
        for rows in (2, 200):
            x, one = np.ones((rows, 10), np.float32), np.ones(10, np.float32)
            assert mg.batch_norm(x, one, one, eps).dtype == dtype
