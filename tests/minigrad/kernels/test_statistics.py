"""What the monitor's kernels count is what NumPy counts."""

import math

import numpy as np
import pytest

import minigrad as mg

pytest.importorskip("numba")
pytest.importorskip("minigrad.inspection.monitor", reason="the room of the monitor was taken out")
from minigrad.inspection.monitor.histogram import EDGES, octaves
from minigrad.inspection.monitor.looks import SATURATED, active, beyond, length, squares_and_zeros

every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def numbers(shape, dtype, seed=0):
    """Finite numbers of every magnitude in float32, with zeros of both signs."""
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=shape) * 10.0 ** rng.integers(-45, 38, shape)).astype(dtype)
    flat = x.reshape(-1)
    flat[::5], flat[3::10] = 0, -0.0
    return x


def layouts(x):
    yield x
    yield np.asfortranarray(x)
    yield x[::-1, ::2]
    x = x.copy()
    x.flags.writeable = False
    yield x


@every_dtype
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (3, 5), (64, 33), (5, 2000)])
def test_squares_and_zeros(shape, dtype):
    for x in layouts(numbers(shape, dtype)):
        with mg.kernels.use("numba"):
            squares, zeros = squares_and_zeros(x)
            assert squares == pytest.approx(math.fsum(float(v) ** 2 for v in x.ravel()), rel=1e-13)
        with np.errstate(over="ignore"):
            assert zeros == squares_and_zeros.line(x)[1] == np.count_nonzero(x == 0)


@every_dtype
def test_norms_are_the_same_with_and_without_kernels(dtype):
    for scale in (1e-30, 1.0, 1e25):
        x = (np.random.default_rng(0).normal(size=(100, 99)) * scale).astype(dtype)
        norms = []
        for kernels in ("numba", "numpy"):
            with mg.kernels.use(kernels), np.errstate(over="ignore"):
                norms.append(length(x))
        assert norms[0] == pytest.approx(norms[1], rel=1e-7)
        assert norms[0] == pytest.approx(np.linalg.norm(x.astype(float)), rel=1e-13)
    x[3, 4] = np.nan
    with mg.kernels.use("numba"):
        assert length(x) == math.inf


@every_dtype
@pytest.mark.parametrize(("middle", "bound"), SATURATED.values(), ids=SATURATED)
def test_saturated_elements_are_counted_as_by_numpy(middle, bound, dtype):
    edge = middle + bound
    x = np.concatenate([np.linspace(-1.2, 1.2, 4001), np.nextafter(edge, [-9, 9]), [edge, np.nan, np.inf, -np.inf]])
    x = np.stack([x, -x]).astype(dtype)
    for y in layouts(x):
        with mg.kernels.use("numba"):
            assert beyond(y, middle, bound) == np.count_nonzero(np.abs(y - middle) > bound)


@every_dtype
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (7, 0), (9, 40), (128, 513)])
def test_active_units_are_those_of_numpy(shape, dtype):
    y = np.maximum(numbers(shape, dtype) - 1e30, 0).astype(dtype)
    if shape == (9, 40):
        y[:, 7], y[4, 8], y[5, 9] = 0, np.nan, -np.inf
        y[:, 9] = np.minimum(y[:, 9], 0)
    for samples in layouts(y):
        with mg.kernels.use("numba"):
            np.testing.assert_array_equal(active(samples), active.line(samples))
    if shape == (9, 40):
        assert active.line(y)[[7, 8, 9]].tolist() == [False, True, False]


@pytest.mark.parametrize("sample", [0, 15, 16, 47, 99, None])
def test_the_last_unit_becomes_active_late_or_never(sample):
    y = np.ones((100, 5), np.float32)
    y[:, 3] = 0
    if sample is not None:
        y[sample, 3] = 1
    with mg.kernels.use("numba"):
        assert active(y).tolist() == [True, True, True, sample is not None, True]


@every_dtype
@pytest.mark.parametrize("size", [0, 1, 3, 4, 1000, 4099])
def test_octaves_are_those_of_numpy(size, dtype):
    x = numbers(size, dtype, seed=size)
    x[1::7] = EDGES[1 + np.arange(len(x[1::7])) % (len(EDGES) - 2)]  # the first number of a bin
    x[2:3], x[5:6], x[6:7] = np.nan, np.inf, -np.inf
    for array in (x, x[::-3], x.reshape(-1, 1), x.reshape(1, -1).T):
        with mg.kernels.use("numba"):
            ours = octaves(array)
        with mg.kernels.use("numpy"):
            line = octaves(array)
        np.testing.assert_array_equal(ours, line)
        assert ours.sum() == array.size


@every_dtype
@pytest.mark.parametrize("kernels", ["numba", "numpy"])
def test_octaves_of_runs(kernels, dtype):
    """Runs of 256, one every so many elements; where the last one is cut off, or none begins, and of neighbours."""
    x = numbers(1500, dtype, seed=1)
    for first, every in [(0, 256), (256, 256), (0, 768), (256, 768), (512, 768), (1280, 768), (1536, 768), (1536, 256)]:
        sampled = np.concatenate([x[:0], *(x[i : i + 256] for i in range(first, x.size, every))])
        with mg.kernels.use(kernels):
            counts, expected = octaves(x, first, every), octaves(sampled)
        np.testing.assert_array_equal(counts, expected)
        assert counts.sum() == sampled.size
