"""Reductions: NumPy's values for every axis, exact derivatives at ties, zeros and constants, no overflow."""

import math
from functools import partial

import numpy as np
import pytest

import minigrad as mg

rng = np.random.default_rng(2)


def numpy_logsumexp(x, axis=None, keepdims=False):
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def numpy_norm(x, axis=None, keepdims=False):
    return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))


def numpy_softmax(x, axis=-1):
    return np.exp(x) / np.sum(np.exp(x), axis=axis, keepdims=True)


REFERENCES = {
    **{name: getattr(np, name) for name in ["sum", "mean", "prod", "max", "min", "var", "std"]},
    "logsumexp": numpy_logsumexp,
    "norm": numpy_norm,
}
AXES = [
    ((4,), None),
    ((4,), 0),
    ((4,), -1),
    ((2, 3), 0),
    ((2, 3), -1),
    ((2, 3), (0, 1)),
    ((2, 3), (-1, 0)),
    ((2, 3), ()),
]
AXES += [
    ((2, 3, 2), 1),
    ((2, 3, 2), (0, 2)),
    ((2, 3, 2), (-1,)),
    ((2, 3, 2), (2, 0, 1)),
    ((2, 1, 3), 1),
    ((1,), 0),
    ((), None),
]


def leaf(x, dtype=None):
    return mg.tensor(x, requires_grad=True, dtype=dtype)


def gradient(f, x, *upstream):
    x = leaf(x) if not isinstance(x, mg.Tensor) else x
    return mg.grad(f(x), x, *upstream)[0].data


def second_derivatives(f, x):
    return mg.hessian(f, x)


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("name", REFERENCES)
def test_reductions_over_every_axis_agree_with_numpy(agrees, name, keepdims):
    for shape, axis in AXES:
        x = rng.permutation(math.prod(shape)).reshape(shape) / 4 - 0.9  # no two equal, none 0
        count = x.size if axis is None else math.prod(shape[i] for i in np.atleast_1d(axis).astype(int))
        if name == "std" and count == 1:
            continue  # always 0: see below
        agrees(
            partial(getattr(mg, name), axis=axis, keepdims=keepdims),
            partial(REFERENCES[name], axis=axis, keepdims=keepdims),
            x,
            order=1 if name == "norm" and count == 1 else 2,  # |x| has no second derivative
        )


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("name", ["var", "std"])
def test_degrees_of_freedom(agrees, name, ddof):
    for axis in (None, 1, (0, 2)):
        agrees(
            lambda x, axis=axis: getattr(mg, name)(x, axis=axis, ddof=ddof),
            lambda x, axis=axis: getattr(np, name)(x, axis=axis, ddof=ddof),
            rng.normal(size=(2, 3, 2)),
        )


@pytest.mark.parametrize("name", REFERENCES)
def test_arguments_as_in_numpy(name):
    x = leaf(rng.normal(size=(2, 3)))
    op = getattr(mg, name)
    expected = REFERENCES[name](x.data, axis=1, keepdims=True)
    for y in (
        op(x, 1, True),
        op(x, axis=1, keepdims=True),
        getattr(x, name)(1, True),
        getattr(x, name)(axis=1, keepdims=True),
    ):
        np.testing.assert_allclose(y.data, expected, rtol=1e-14)
    np.testing.assert_allclose(
        op([[1.0, 2.0], [3.0, 5.0]], 0), REFERENCES[name](np.array([[1.0, 2.0], [3.0, 5.0]]), axis=0)
    )
    np.testing.assert_allclose(op(np.array([1, 2, 4])), REFERENCES[name](np.array([1.0, 2.0, 4.0])))
    np.testing.assert_allclose(op(3.0), REFERENCES[name](np.array(3.0)))


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "max", "min", "var", "std"])
def test_numpys_function_runs_the_op(name):
    x = leaf(rng.normal(size=(2, 3)))
    assert getattr(np, name)(x, 1).node.op.name == name
    np.testing.assert_array_equal(getattr(np, name)(x, axis=(0, 1)).data, getattr(np, name)(x.data, axis=(0, 1)))


@pytest.mark.parametrize("axis", [-1, 0, (0, 1), None])
def test_softmax_agrees_with_numpy(agrees, axis):
    agrees(lambda x: mg.softmax(x, axis=axis), lambda x: numpy_softmax(x, axis), rng.normal(size=(3, 4)))
    agrees(lambda x: mg.log_softmax(x, axis=axis), lambda x: np.log(numpy_softmax(x, axis)), rng.normal(size=(3, 4)))


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (0, 3), (2, 0)], ids=str)
def test_cumsum_agrees_with_numpy(agrees, shape, axis):
    if len(shape) > 1 or axis != 1:
        agrees(lambda x: mg.cumsum(x, axis), lambda x: np.cumsum(x, axis), rng.normal(size=shape))


@pytest.mark.parametrize("name", ["sum", "prod", "norm", "logsumexp"])
def test_nothing_to_reduce(dtype, name):
    x = leaf(np.zeros((2, 0)), dtype)
    y = getattr(mg, name)(x, axis=1)
    expected = {"sum": 0, "prod": 1, "norm": 0, "logsumexp": -np.inf}[name]
    np.testing.assert_array_equal(y.data, [expected, expected])
    assert y.dtype == dtype
    assert gradient(lambda x: getattr(mg, name)(x, axis=1), x, [1.0, 1.0]).shape == (2, 0)


@pytest.mark.parametrize("f", [mg.softmax, mg.log_softmax], ids=["softmax", "log_softmax"])
def test_probabilities_of_no_classes(dtype, f):
    x = leaf(np.zeros((2, 0)), dtype)
    assert f(x).shape == (2, 0)
    assert gradient(f, x, np.zeros((2, 0))).shape == (2, 0)


@pytest.mark.parametrize("name", REFERENCES)
def test_no_rows_to_reduce(dtype, name):
    x = leaf(np.zeros((0, 3)), dtype)
    (g,) = mg.grad(getattr(mg, name)(x, axis=1), x, np.zeros(0), create_graph=True)
    assert g.shape == (0, 3)
    assert g.dtype == dtype


# Ties


@pytest.mark.parametrize("name", ["max", "min"])
def test_ties_share_the_gradient(dtype, name):
    x = leaf([[2.0, 2.0, 1.0], [3.0, 3.0, 3.0]], dtype) * (1 if name == "max" else -1)
    whole = gradient(lambda x: getattr(mg, name)(x), x)
    rows = gradient(lambda x: getattr(mg, name)(x, axis=1).sum(), x)
    np.testing.assert_array_equal(whole, np.array([[0, 0, 0], [1, 1, 1]], dtype) / dtype.type(3))
    np.testing.assert_array_equal(rows, np.array([[0.5, 0.5, 0], [1 / 3] * 3], dtype))


def test_the_extreme_alone_gets_an_infinite_gradient():
    x = leaf([0.0, -1.0, -2.0])
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(gradient(lambda x: mg.sqrt(mg.max(x)), x), [np.inf, 0, 0])


def test_nan_gets_the_gradient_of_a_maximum_that_is_nan():
    np.testing.assert_array_equal(gradient(lambda x: mg.max(x), [1.0, np.nan, 5.0]), [0, 1, 0])


# Products with zeros


@pytest.mark.parametrize("axis", [None, 0, 1, (0, 2)])
@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
def test_products_with_zeros_have_exact_derivatives(agrees, zeros, axis):
    x = rng.uniform(0.5, 1.5, (2, 3, 2))
    x.ravel()[rng.permutation(x.size)[:zeros]] = 0
    agrees(lambda x: mg.prod(x, axis), lambda x: np.prod(x, axis), x)


def test_a_product_of_a_single_zero_along_the_axis_that_numpy_gives_a_number():
    np.testing.assert_array_equal(gradient(lambda x: mg.prod(x, axis=-1), 0.0), 1)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ([1e-300, 1e-12, 1e-10], [1e-22, 1e-310, 1e-312]),
        ([1e200, 1e200, 1e-200], [1, 1, np.inf]),
        ([np.inf, 2.0, 3.0], [6, np.inf, np.inf]),
    ],
)
def test_a_product_that_loses_its_digits_or_overflows_has_exact_derivatives(x, expected):
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(gradient(mg.prod, x), expected, rtol=1e-9, atol=1e-309)


def test_second_derivatives_of_a_product_with_one_zero_and_with_two():
    for x in ([0.0, 2.0, 3.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [1.0, 2.0, 3.0]):
        expected = [
            [0 if i == j else math.prod(v for k, v in enumerate(x) if k not in (i, j)) for j in range(3)]
            for i in range(3)
        ]
        np.testing.assert_array_equal(second_derivatives(mg.prod, np.array(x)), expected)


def test_a_product_that_underflows_still_has_its_derivative():
    np.testing.assert_allclose(gradient(mg.prod, [1e-200, 1e-200, 3.0]), [3e-200, 3e-200, 0])


def test_a_long_product_with_a_zero():
    x = np.full(10_000, 1.0001)
    x[1234] = 0
    g = gradient(mg.prod, x)
    assert np.count_nonzero(g) == 1
    np.testing.assert_allclose(g[1234], 1.0001**9999)


# Where all elements are equal, or 0


@pytest.mark.parametrize("f", [mg.norm, lambda x: mg.norm(x, axis=1).sum()], ids=["whole", "rows"])
def test_the_norm_at_zero(dtype, f):
    x = leaf(np.zeros((2, 3)), dtype)
    (g,) = mg.grad(f(x), x, create_graph=True)
    np.testing.assert_array_equal(g.data, 0)
    np.testing.assert_array_equal(mg.grad(g.sum(), x)[0].data, 0)


@pytest.mark.parametrize("shape", [(3,), (1,), (2, 2)], ids=str)
def test_the_standard_deviation_of_equal_numbers(dtype, shape):
    x = leaf(np.full(shape, 1.25), dtype)
    (g,) = mg.grad(mg.std(x), x, create_graph=True)
    np.testing.assert_array_equal(g.data, 0)
    np.testing.assert_array_equal(mg.grad(g.sum(), x)[0].data, 0)


def test_one_row_at_zero_leaves_the_others_alone():
    x = np.array([[0.0, 0.0], [3.0, 4.0]])
    np.testing.assert_allclose(gradient(lambda x: mg.norm(x, axis=1).sum(), x), [[0, 0], [0.6, 0.8]])


def test_too_few_elements_for_ddof_warn_as_in_numpy():
    x = leaf([1.0])
    with pytest.warns(RuntimeWarning):
        y = mg.var(x, ddof=1)
    with pytest.warns(RuntimeWarning):
        assert np.isnan(mg.grad(y, x)[0].data)


# The largest numbers, and the smallest


def test_norm_keeps_its_slope_at_the_smallest_numbers():
    x = leaf([3e-41, -4e-41], np.float32)
    np.testing.assert_allclose(mg.grad(mg.norm(x), x)[0].data, [0.6, -0.8], rtol=1e-3)


def test_sums_of_exponentials_do_not_overflow(dtype):
    largest = np.finfo(dtype).max
    x = leaf(
        [[largest, -largest, 0], [-largest, -largest, -largest], [largest, largest, largest], [1e4, 1e4, -1e4]], dtype
    )
    thirds = [1 / 3] * 3
    p = mg.softmax(x)
    np.testing.assert_allclose(p.data, [[1, 0, 0], thirds, thirds, [0.5, 0.5, 0]], rtol=1e-6)
    y = mg.logsumexp(x, axis=1)
    np.testing.assert_allclose(y.data, [largest, -largest, largest, 1e4 + math.log(2)], rtol=1e-6)
    np.testing.assert_allclose(mg.grad(y, x, np.ones(4))[0].data, p.data, rtol=1e-6)
    log_p = mg.log_softmax(x)
    assert np.all(np.isfinite(log_p.data))
    np.testing.assert_allclose(log_p.data[1:3], math.log(1 / 3), rtol=1e-6)
    for y in (p, log_p):
        (g,) = mg.grad(y, x, np.ones((4, 3)), create_graph=True)
        (second,) = mg.grad(g, x, np.ones((4, 3)))
        assert np.all(np.isfinite(g.data))
        assert np.all(np.isfinite(second.data))


def test_minus_infinity_is_probability_zero(dtype):
    x = leaf([[0.0, -np.inf, 0.0], [-np.inf] * 3], dtype)
    np.testing.assert_array_equal(mg.softmax(x).data, [[0.5, 0, 0.5], [0, 0, 0]])
    np.testing.assert_allclose(mg.logsumexp(x, axis=1).data, [math.log(2), -np.inf])
    np.testing.assert_array_equal(mg.log_softmax(x[0]).data[1], -np.inf)
    np.testing.assert_array_equal(
        gradient(lambda x: mg.logsumexp(x, axis=1), x, [1.0, 1.0]), [[0.5, 0, 0.5], [0, 0, 0]]
    )


def test_the_norm_of_small_float32_numbers_is_summed_in_float64():
    x = leaf(np.full(4, 1e-30), "float32")
    np.testing.assert_allclose(mg.norm(x).item(), 2e-30, rtol=1e-6)
    np.testing.assert_allclose(gradient(mg.norm, x), 0.5, rtol=1e-6)


def test_integers_become_floats_where_they_must():
    x = mg.tensor([1, 2, 3], dtype=int)
    assert [mg.sum(x).dtype, mg.max(x).dtype] == [int, int]
    for y in (mg.mean(x), mg.norm(x), mg.std(x), mg.logsumexp(x), mg.softmax(x)):
        assert y.dtype == float


# What is refused


@pytest.mark.parametrize("name", [*REFERENCES, "cumsum", "softmax", "log_softmax"])
@pytest.mark.parametrize("x", [leaf(np.ones((2, 3))), np.ones((2, 3))], ids=["Tensor", "array"])
def test_an_axis_that_is_not_there(name, x):
    with pytest.raises(
        ValueError, match=rf"^{name}: shape \(2, 3\): axis 2 is out of bounds for array of dimension 2$"
    ):
        getattr(mg, name)(x, axis=2)
    with pytest.raises(
        ValueError, match=rf"^{name}: shape \(2, 3\): axis -3 is out of bounds for array of dimension 2$"
    ):
        getattr(mg, name)(x, axis=-3)
    with pytest.raises(TypeError, match=rf"^{name}: "):
        getattr(mg, name)(x, axis=0.5)


@pytest.mark.parametrize("name", REFERENCES)
def test_an_axis_twice_and_an_argument_that_it_has_not(name):
    with pytest.raises(ValueError, match=rf"^{name}: shape \(2, 3\): duplicate value in 'axis'$"):
        getattr(mg, name)(np.ones((2, 3)), axis=(0, 0))
    with pytest.raises(
        TypeError, match=rf"^{name}: it is called as {name}\(x, axis=None, keepdims=False.*\), not with where=$"
    ):
        getattr(mg, name)(np.ones((2, 3)), where=True)
    with pytest.raises(TypeError, match=rf"^{name}: .*not float16"):
        getattr(mg, name)(np.ones(3, np.float16))


@pytest.mark.parametrize("name", ["max", "min"])
def test_no_extreme_of_nothing(name):
    with pytest.raises(ValueError, match=rf"^{name}: shape \(0,\): zero-size array to reduction operation"):
        getattr(mg, name)(leaf(np.zeros(0)))


@pytest.mark.parametrize("op", [mg.max, mg.min])
def test_the_extreme_of_numbers_in_another_byte_order(op):
    """As in a file that was written on a machine of the other byte order."""
    x = mg.tensor(np.array([1.0, 3.0, 3.0, 1.0], ">f4"), requires_grad=True)
    op(x).backward()
    np.testing.assert_array_equal(x.grad, np.where(x.data == op(x.data), 0.5, 0))
