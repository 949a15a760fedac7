"""Kernels of activations equal NumPy's lines, and lie within a few units in the last place of the truth."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels import twins, use
from minigrad.ops import affine
from minigrad.ops import elementwise as table

pytest.importorskip("numba")

from minigrad.kernels import exponentials

NAMES = [*affine.activations, "normal_cdf"]
SHAPES = [(), (0,), (1,), (7,), (3, 0), (17, 5), (2, 3, 33), (1031,)]
DTYPES = ["float32", "float64"]
NUMBERS = {"leaky_relu": {"slope": 0.2}, "elu": {"alpha": 1.3}}
UNUSUAL = [np.nan, np.inf, -np.inf, 0.0, 1e-30, -1e-30]


def layouts(x):
    """The same numbers in other memory layouts, and read-only: in one dtype, since Numba compiles again for it."""
    x = np.asarray(x)
    yield x
    yield np.array(x, order="F")
    yield np.stack([x, x], axis=-1)[..., 0]
    if x.ndim:
        yield x[::-1].copy()[::-1]
    if x.dtype == np.float32:
        locked = x.copy()
        locked.flags.writeable = False
        yield locked


def close(actual, expected, scale=1.0):
    """Equal as far as the dtype allows; `scale` is the size of the numbers that were subtracted."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    rtol = {"float32": 1e-5, "float64": 1e-12}[actual.dtype.name]
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=scale * np.finfo(actual.dtype).eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_values_and_contributions_equal_numpys(name, dtype):
    rng, params = np.random.default_rng(0), NUMBERS.get(name, {})
    for shape in SHAPES:
        x, g = rng.normal(scale=3, size=(2, *shape)).astype(dtype)
        with use("numpy"):
            y = np.asarray(twins[name].line(x, **params))
            product = np.asarray(twins[f"{name}_backward"].line(g, y, x, **params)) if name != "normal_cdf" else None
        for x_here, g_here in zip(layouts(x), layouts(g), strict=True):
            close(twins[name].kernel(x_here, **params), y)
            if product is not None:
                close(
                    twins[f"{name}_backward"].kernel(g_here, y, x_here, **params),
                    product,
                    scale=4 * abs(g).max(initial=0),
                )


@pytest.mark.parametrize("size", [3, 10_000])  # computed by the line, by the kernel
@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_may_be_given_by_position_by_name_or_not_at_all(name, size):
    values, slopes, x = twins[name], twins[f"{name}_backward"], np.linspace(-2, 2, size)
    ((parameter, number),) = NUMBERS[name].items()
    np.testing.assert_array_equal(values(x, number), values(x, **{parameter: number}))
    ((parameter, default),) = getattr(table, name).defaults.items()
    np.testing.assert_array_equal(values(x), values(x, **{parameter: default}))
    y = values(x)
    np.testing.assert_array_equal(slopes(x, y, x), slopes(x, y, x, **{parameter: default}))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMES)
def test_nan_and_infinity_come_out_as_from_numpy(name, dtype):
    x, params = np.array(UNUSUAL, dtype), NUMBERS.get(name, {})
    g = np.array([1, 2, 3, np.inf, np.nan, -np.inf], dtype)
    with use("numpy"), np.errstate(all="ignore"):
        y = twins[name].line(x, **params)
        close(twins[name].kernel(x, **params), y)
        if name != "normal_cdf":
            for upstream in (np.ones_like(x), g):
                expected = twins[f"{name}_backward"].line(upstream, y, x, **params)
                close(twins[f"{name}_backward"].kernel(upstream, y, x, **params), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", affine.activations)
def test_the_largest_numbers_are_right_and_give_no_warning(name, dtype):
    largest = np.finfo(dtype).max
    x = np.array([largest, -largest, 1e30, -1e30], dtype)
    op = getattr(table, name)
    found = {}
    for choice in ("numba", "numpy"):
        with use(choice):
            t = mg.tensor(x, requires_grad=True, dtype=dtype)
            y = op(t)
            y.backward(np.ones_like(x))
            found[choice] = y.data, t.grad
    for actual, expected in zip(*found.values(), strict=True):
        assert np.isfinite(actual).all()
        close(actual, expected)


@pytest.mark.parametrize("name", affine.activations)
def test_an_op_takes_the_kernel_when_asked_to_and_the_same_bits_come_again(name, monkeypatch):
    x = np.random.default_rng(0).normal(size=(5, 77)).astype(np.float32)
    op, calls = getattr(table, name), []
    for twin in (op.forward, op.product):
        monkeypatch.setitem(twin.__dict__, "kernel", counted(twin.kernel, calls))
    results = []
    with use("numba"):
        for _ in range(2):
            t = mg.tensor(x, requires_grad=True)
            y = op(t)
            y.backward(x)
            results.append((y.data, t.grad))
    assert len(calls) == 4
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)


def counted(function, calls):
    def call(*xs, **params):
        calls.append(function)
        return function(*xs, **params)

    return call


@pytest.mark.parametrize("choice", ["numpy", "numba"])
def test_a_parameter_may_be_an_array(choice):
    x, slope = np.linspace(-2, 2, 1000).reshape(2, 500), np.array([[0.1], [0.3]])
    with use(choice):
        np.testing.assert_allclose(mg.leaky_relu(x, slope), np.where(x > 0, x, slope * x))


# Accuracy. The truth is computed by NumPy with 64-bit mantissas (`longdouble`), by formulas that lose none of the bits.


def logistic(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


TRUTH = {  # name → (values, slopes by x), the largest errors of both in units of the last place
    "sigmoid": (logistic, None, 2.5, 0),
    "tanh": (np.tanh, None, {np.float32: 5, np.float64: 3}, 0),
    "elu": (lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), None, 1.5, 0),
    "softplus": (lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), logistic, 3, 2.5),
    "softsign": (lambda x: x / (1 + np.abs(x)), lambda x: 1 / (1 + np.abs(x)) ** 2, 2, 4),
}


def everywhere(dtype, step):
    """Numbers of every magnitude that the dtype has, and many where the functions bend."""
    if dtype == np.float32:
        bits = np.arange(0, 2**32, step, dtype=np.uint64).astype(np.uint32).view(np.float32)
    else:
        bits = np.random.default_rng(0).integers(0, 2**64, 2**32 // step, dtype=np.uint64).view(np.float64)
    edges = np.finfo(dtype)
    ranges = [np.linspace(-end, end, 200_001) for end in (1, 20, 120, 760)]
    special = [0, edges.max, -edges.max, edges.tiny, -edges.tiny, edges.smallest_subnormal, 88.7, 89, -87.3, -104]
    return np.concatenate([bits[np.isfinite(bits)], *ranges, special]).astype(dtype)


def in_last_places(actual, truth):
    """|actual − truth| in units of the truth's last place; an overflow to infinity counts as exact."""
    numbers = np.finfo(actual.dtype)
    _, exponent = np.frexp(np.clip(np.abs(truth), numbers.tiny, numbers.max))
    error = np.abs(actual.astype(np.longdouble) - truth) / np.ldexp(np.longdouble(1), exponent - numbers.nmant - 1)
    return np.where(np.isinf(actual) & (np.abs(truth) > numbers.max), 0, error)


needs_longdouble = pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="longdouble is float64 here")


@needs_longdouble
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", TRUTH)
def test_values_and_slopes_are_exact_to_a_few_last_places(name, dtype):
    values, slopes, worst_value, worst_slope = TRUTH[name]
    if isinstance(worst_value, dict):
        worst_value = worst_value[dtype]
    x = everywhere(dtype, step=40_009)
    with np.errstate(all="ignore"):
        y = twins[name].kernel(x)
        assert in_last_places(y, values(x.astype(np.longdouble))).max() < worst_value
        if slopes:
            found = twins[f"{name}_backward"].kernel(np.ones_like(x), y, x)
            assert in_last_places(found, slopes(x.astype(np.longdouble))).max() < worst_slope


@needs_longdouble
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_slopes_from_outputs_are_exact_to_a_few_last_places(dtype):
    y = np.linspace(0, 1, 200_001).astype(dtype)
    exact = y.astype(np.longdouble)
    ones = np.ones_like(y)
    assert in_last_places(twins["sigmoid_backward"].kernel(ones, y, y), exact * (1 - exact)).max() <= 1.5
    assert in_last_places(twins["tanh_backward"].kernel(ones, y, y), (1 - exact) * (1 + exact)).max() < 1.5


@needs_longdouble
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_silu_is_exact_to_a_few_last_places_where_the_logistic_function_is(dtype):
    """Further below, σ itself has few digits. Errors of the slope are relative to its terms, which cancel at −1.28."""
    x = everywhere(dtype, step=40_009)
    x = x[x > np.log(np.finfo(dtype).tiny)]
    exact = x.astype(np.longdouble)
    y = twins["silu"].kernel(x)
    assert in_last_places(y, exact * logistic(exact)).max() < 3.5
    slopes = twins["silu_backward"].kernel(np.ones_like(x), y, x)
    terms = logistic(exact) * (1 + np.abs(exact) * logistic(-exact))
    errors = np.abs(slopes - logistic(exact) * (1 + exact * logistic(-exact)))
    assert (errors / terms).max() < 4 * np.finfo(dtype).eps


def test_gelu_is_exact_in_float32_and_as_exact_as_erfc_in_float64():
    x = np.concatenate([np.linspace(-14, 6, 20_001), [-1e30, 1e30]])
    area = np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in x])
    density = np.exp(-np.square(np.clip(x, -40, 40)) / 2) / math.sqrt(2 * math.pi)
    np.testing.assert_allclose(twins["gelu"].kernel(x), x * area, rtol=1e-13)
    slopes = area + x * density
    np.testing.assert_allclose(twins["gelu_backward"].kernel(np.ones_like(x), x, x), slopes, rtol=1e-13, atol=1e-15)
    single = x.astype(np.float32)
    area = np.array([math.erfc(-float(v) / math.sqrt(2)) / 2 for v in single])
    assert in_last_places(twins["gelu"].kernel(single), single * area).max() < 0.51


@needs_longdouble
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("name", "truth", "low", "high", "worst"),
    [
        ("exp_of", np.exp, -np.inf, np.inf, 1.3),
        ("decay_of", np.exp, -np.inf, 0, 1.3),
        ("expm1_of", np.expm1, -np.inf, 0, 1.5),
        ("log1p_of", np.log1p, 0, 1, 2.2),
    ],
)
def test_the_helpers_are_exact_to_a_few_last_places(name, truth, low, high, worst, dtype):
    """Python runs them here, number by number; compiled, they compute the same."""
    x = everywhere(dtype, step=20_000_003)[::211]
    x = x[(x >= low) & (x <= high)]
    with np.errstate(all="ignore"):
        found = np.array([getattr(exponentials, name)(v) for v in x], dtype)
        assert in_last_places(found, truth(x.astype(np.longdouble))).max() < worst


def test_tanh_in_float32_is_odd_bounded_by_one_and_exact_for_tiny_numbers():
    tanh, numbers = twins["tanh"].kernel, np.finfo(np.float32)
    x = everywhere(np.float32, step=40_009)
    y = tanh(x)
    np.testing.assert_array_equal(tanh(-x), -y)
    assert (np.abs(y) <= 1).all()
    far = np.array([8.1, 9.1, 100, numbers.max, np.inf], np.float32)
    assert (tanh(far) == 1).all()
    tiny = np.array([0.0, numbers.smallest_subnormal, 3e-39, numbers.tiny, 1e-20], np.float32)
    for v in (tiny, -tiny):
        np.testing.assert_array_equal(tanh(v).view(np.int32), v.view(np.int32))  # with the sign of −0.0
    assert np.isnan(tanh(np.array([np.nan], np.float32))[0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_exponential_knows_infinity_and_nan(dtype):
    with np.errstate(all="ignore"):
        found = [exponentials.exp_of(dtype(v)) for v in (np.nan, np.inf, -np.inf, 0.0, 1000.0, -1000.0)]
    np.testing.assert_array_equal(found, [np.nan, np.inf, 0, 1, np.inf, 0])
    assert {type(v) for v in found} == {dtype}


@pytest.mark.parametrize("number", [1.5, 2, np.float32(1.5), np.float64(1.5), np.array([1.5]), mg.tensor(1.5)])
@pytest.mark.parametrize("op", [mg.leaky_relu, mg.elu])
def test_the_dtype_of_a_parameter_counts_whatever_the_size(op, number):
    """NumPy's rule: beside float32, a Python number has no dtype of its own, but np.float64 has one."""
    small, large = (np.linspace(-1, 1, n, dtype=np.float32) for n in (11, 2001))
    assert op(large, number).dtype == op(small, number).dtype
    np.testing.assert_allclose(op(large, number)[::200], op(small, number), rtol=1e-5, atol=1e-6)


def test_a_parameter_has_no_gradient_and_says_so():
    for n in (10, 2000):
        with pytest.raises(TypeError, match=r"leaky_relu: .* parameter would lose a tensor's gradients"):
            mg.leaky_relu(np.ones(n), mg.tensor(0.2, requires_grad=True))
