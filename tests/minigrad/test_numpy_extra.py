"""The rest of NumPy: every function in both orders of derivative, and all of NumPy's ufuncs counted."""

import math

import numpy as np
import pytest

import minigrad as mg

pytest.importorskip("minigrad.numpy_extra")

rng = np.random.default_rng(8)


def R(*shape):
    return rng.normal(size=shape)


def U(low, high, *shape):
    return rng.uniform(low, high, shape)


def leaf(x, dtype=None):
    return mg.tensor(x, requires_grad=True, dtype=dtype)


CASES = [  # a function of NumPy, and its arguments
    (np.exp2, R(3)),
    (np.cbrt, np.array([-2.0, -0.5, 0.3, 8.0])),
    (np.logaddexp2, R(2, 3), R(3)),
    (np.float_power, U(0.5, 2, 3), R(3)),
    (np.fmax, R(2, 3), R(3)),
    (np.fmin, R(2, 3), R(3)),
    (np.fmod, np.array([5.3, -5.3, 5.3, -5.3]), np.array([2.0, 2.0, -2.0, -2.0])),
    (np.remainder, np.array([5.3, -5.3, 5.3, -5.3]), np.array([2.0, 2.0, -2.0, -2.0])),
    (np.mod, np.array([[5.3], [-5.3]]), np.array([2.0, -1.5])),
    (lambda a, b: np.divmod(a, b)[1], np.array([5.3, -5.3]), np.array([2.0, 2.0])),
    (lambda x: np.modf(x)[0], np.array([5.3, -5.3])),
    (lambda x: np.frexp(x)[0], np.array([5.3, -0.3])),
    (lambda x: np.ldexp(x, np.array([1, -2])), np.array([5.3, -0.3])),
    (np.copysign, R(4), R(4)),
    (np.fabs, np.array([1.5, -2.0])),
    (np.deg2rad, R(3)),
    (np.radians, R(3)),
    (np.rad2deg, R(3)),
    (np.degrees, R(3)),
    (np.sinc, np.array([-1.3, 0.4, 2.2])),
    (np.positive, R(3)),
    (np.conjugate, R(3)),
    (np.real, R(3)),
    (np.real_if_close, R(3)),
    (np.copy, R(3)),
    (np.nan_to_num, R(3)),
    # shapes
    (np.atleast_1d, np.array(1.5)),
    (np.atleast_2d, R(3)),
    (np.atleast_3d, R(2, 3)),
    (np.atleast_3d, R(3)),
    (lambda a, b: np.atleast_2d(a, b)[1], R(3), np.array(2.0)),
    (lambda a, b: np.hstack([a, b]), R(2), R(3)),
    (lambda a, b: np.hstack([a, b]), R(2, 1), R(2, 3)),
    (lambda a, b: np.hstack([a, b]), np.array(1.0), np.array(2.0)),
    (lambda a, b: np.vstack([a, b]), R(3), R(2, 3)),
    (lambda a, b: np.dstack([a, b]), R(3), R(3)),
    (lambda a, b: np.dstack([a, b]), R(2, 3), R(2, 3, 2)),
    (lambda a, b: np.column_stack([a, b]), R(3), R(3, 2)),
    (lambda a, b: np.append(a, b), R(2, 2), np.array(3.0)),
    (lambda a, b: np.append(a, b, axis=1), R(2, 2), R(2, 1)),
    (lambda x: np.array_split(x, 3)[1], R(7)),
    (lambda x: np.array_split(x, [1, 3], axis=-1)[2], R(2, 5)),
    (lambda x: np.concatenate(np.array_split(x, [4, 1])), R(5)),  # x[:4], nothing and x[1:]
    (lambda x: np.hsplit(x, 2)[1], R(2, 4)),
    (lambda x: np.hsplit(x, 2)[1], R(4)),
    (lambda x: np.vsplit(x, [1])[0], R(2, 4)),
    (lambda x: np.dsplit(x, 2)[1], R(2, 2, 4)),
    *[(lambda x, a=a, s=s: np.rollaxis(x, a, s), R(2, 3, 4)) for a in (0, 1, -1) for s in (0, 1, 3, -1)],
    (np.matrix_transpose, R(2, 3, 4)),
    *[(lambda x, k=k: np.rot90(x, k), R(2, 3)) for k in range(-1, 5)],
    (lambda x: np.rot90(x, axes=(1, 2)), R(2, 3, 2)),
    (np.fliplr, R(2, 3)),
    (np.flipud, R(2, 3)),
    (lambda a, b: np.linspace(a, b, 5), np.array(1.0), np.array(3.0)),
    (lambda a, b: np.linspace(a, b, num=4), R(2), R(2)),
    # elements
    (lambda x: np.take(x, [3, 0, 3]), R(2, 3)),
    (lambda x: np.take(x, (3, 3)), R(2, 3)),
    (lambda x: np.take(x, (1, 1), axis=1), R(2, 3)),
    (lambda x: np.take(x, [[0, 1], [2, 2]], axis=-1), R(2, 3)),
    (lambda x: np.take_along_axis(x, np.array([[0, 2, 2], [1, 1, 0]]), axis=1), R(2, 3)),
    (lambda x: np.take_along_axis(x, np.array([5, 0]), axis=None), R(2, 3)),
    (lambda x: np.take_along_axis(x, np.array([[2, 0]]), axis=1), R(2, 3)),  # the same places in every row
    (lambda x: np.take_along_axis(x, np.array([[[0], [1]]]), axis=-2), R(3, 2, 4)),
    (lambda x: np.partition(x, 2), R(7)),
    (lambda x: np.partition(x, 1, axis=0), R(3, 2)),
    (lambda x: np.sort(np.partition(x, (1, 3), axis=None)), R(2, 3)),
    (lambda x: np.select([x > 1, x < 0], [x * x, -x], 0.5), np.array([2.0, -1.0, 0.3])),
    (lambda a, b: np.select([a.astype(int) > 1], [b]), np.array([2.5, 0.1]), R(2)),
    (lambda x: np.lib.stride_tricks.sliding_window_view(x, 2, axis=1), R(2, 4)),
    (lambda x: np.lib.stride_tricks.sliding_window_view(x, (2, 3), axis=(-2, -1)), R(2, 3, 4)),
    (lambda x: np.lib.stride_tricks.sliding_window_view(x, window_shape=(2, 2)), R(3, 3)),
    # sums
    (lambda w: np.bincount([2, 0, 2, 2], weights=w).astype(w.dtype), R(4)),
    (lambda w: np.bincount(np.array([0, 1, 0]), w, minlength=4).astype(w.dtype), R(3)),
    (np.cumprod, np.array([1.5, 0.0, 2.0, 0.0, 3.0])),
    (lambda x: np.cumprod(x, axis=1), R(2, 4)),
    (np.diff, R(5)),
    (lambda x: np.diff(x, n=2, axis=0), R(4, 2)),
    (lambda x: np.diff(x, n=0), R(3)),
    (np.ediff1d, R(2, 3)),
    (np.average, R(2, 3)),
    (lambda a, w: np.average(a, 0, w), R(2, 3), U(0.5, 1, 2)),
    (lambda a, w: np.average(a, weights=w), R(2, 3), U(0.5, 1, 2, 3)),
    (lambda a, w: np.average(a, axis=-1, weights=w, keepdims=True), R(2, 3), U(0.5, 1, 3)),
    (np.gradient, R(5)),
    (np.gradient, R(2)),
    (lambda x: np.stack(np.gradient(x)), R(3, 4)),
    (lambda x: np.stack(np.gradient(x, 0.5)), R(3, 4)),
    (lambda x: np.stack(np.gradient(x, 0.5, 2)), R(3, 4)),
    (lambda x: np.stack(np.gradient(x, 0.5, 2, axis=(2, 0))), R(3, 2, 4)),
    (lambda x: np.gradient(x, axis=-1, edge_order=1), R(2, 3)),
    (np.trapezoid, R(5)),
    (lambda y: np.trapezoid(y, dx=0.5, axis=0), R(3, 2)),
    (lambda y, x: np.trapezoid(y, x), R(2, 4), R(4)),
    (lambda y, x: np.trapezoid(y, x, axis=0), R(3, 2), R(3, 2)),
    (np.ptp, R(2, 3)),
    (lambda x: np.ptp(x, axis=1, keepdims=True), R(2, 3)),
    # products and norms
    (np.inner, R(3), R(3)),
    (np.inner, R(2, 3), R(4, 3)),
    (np.inner, np.array(2.0), R(3)),
    (np.inner, np.array(2.0), R(4, 3)),
    (np.inner, R(4, 3), np.array(2.0)),
    (np.vdot, R(2, 3), R(3, 2)),
    (np.vecdot, R(2, 3), R(3)),
    (np.kron, R(2, 3), R(3, 2)),
    (np.kron, R(2), R(2, 2)),
    (np.kron, np.array(2.0), R(2)),
    (np.cross, R(3), R(3)),
    (np.cross, R(2, 3), R(3)),
    (lambda a, b: np.cross(a, b, axis=0), R(3, 2), R(3, 2)),
    (lambda a, b: np.cross(a, b, axisa=0, axisc=0), R(3, 2), R(2, 3)),
    (np.linalg.cross, R(2, 3), R(2, 3)),
    (lambda a, b, c: np.linalg.multi_dot([a, b, c]), R(2, 3), R(3, 4), R(4)),
    (np.linalg.norm, R(2, 3)),
    *[(lambda x, p=p: np.linalg.norm(x, p), R(4)) for p in (None, 1, 2, 3, 2.5, -1, np.inf, -np.inf)],
    *[(lambda x, p=p: np.linalg.norm(x, p, axis=1, keepdims=True), R(2, 3)) for p in (None, 1, 2, 3, np.inf)],
    *[(lambda x, p=p: np.linalg.norm(x, ord=p), R(2, 3)) for p in ("fro", 1, -1, np.inf, -np.inf)],
    (lambda x: np.linalg.norm(x, "fro", axis=(0, 2)), R(2, 3, 2)),
    (lambda x: np.linalg.norm(x, 1, axis=(2, 0), keepdims=True), R(2, 3, 2)),
    (lambda x: np.linalg.norm(x, axis=(0, 1)), R(2, 3, 2)),
]
if hasattr(np, "matvec"):
    CASES += [(np.matvec, R(2, 2, 3), R(3)), (np.vecmat, R(2, 2), R(2, 3))]
if hasattr(np, "cumulative_sum"):
    CASES += [(lambda x: np.cumulative_sum(x, axis=0), R(3, 2)), (np.cumulative_prod, R(4))]


@pytest.mark.parametrize("case", CASES)
def test_a_function_agrees_with_numpy(agrees, dtype, case):
    f, *xs = case
    if f is np.float_power:
        f = lambda a, b: np.float_power(a, b).astype(dtype)  # noqa: E731 (it returns float64 for every dtype)
        agrees(f, lambda a, b: np.float_power(a, b), *xs)
    else:
        agrees(f, f, *xs)


# All ufuncs, as NumPy lists them

NOT_DIFFERENTIATED = {"nextafter": "steps to the next representable number, which real numbers do not have"}


def ufuncs_of_numpy():
    """The ufuncs that take floats and give floats, each once."""
    found = {f for f in vars(np).values() if isinstance(f, np.ufunc)}
    floating = {f for f in found if any(t.startswith("d" * f.nin) and "d" in t.split("->")[1] for t in f.types)}
    return sorted(floating | {np.ldexp}, key=lambda f: f.__name__)


def arguments_of(ufunc):
    if ufunc is np.arccosh:
        return [np.array([1.7, 2.3])]
    if ufunc is np.ldexp:
        return [np.array([0.7, 0.3]), np.array([1, 2])]
    if ufunc.__name__ in ("matvec", "matmul"):
        return [np.array([[0.3, 0.7], [0.2, 0.9]]), np.array([0.6, 0.4])]
    if ufunc.__name__ == "vecmat":
        return [np.array([0.6, 0.4]), np.array([[0.3, 0.7], [0.2, 0.9]])]
    return [np.array([0.37, 0.81]), np.array([0.63, 0.29])][: ufunc.nin]


def outputs(y):
    return [part for part in (y if isinstance(y, tuple) else (y,)) if part.dtype.kind == "f"]


def varies(ufunc):
    """Whether any output changes with any input, away from the function's jumps."""
    xs = arguments_of(ufunc)
    step = 1e-6
    moved = [[x + step * (i == j) if x.dtype.kind == "f" else x for j, x in enumerate(xs)] for i in range(ufunc.nin)]
    return any(
        np.any(np.abs(after - before) > step / 100)
        for change in moved
        for before, after in zip(outputs(ufunc(*xs)), outputs(ufunc(*change)), strict=True)
    )


def records(ufunc):
    try:
        y = ufunc(*(leaf(x) if x.dtype.kind == "f" else x for x in arguments_of(ufunc)))
    except TypeError:
        return False
    return any(isinstance(part, mg.Tensor) and part.requires_grad for part in outputs(y))


def test_numpys_ufuncs_differentiate():
    smooth = [f for f in ufuncs_of_numpy() if varies(f)]
    missing = {f.__name__ for f in smooth if not records(f)}
    assert len(smooth) > 50
    assert missing == set(NOT_DIFFERENTIATED)
    assert len(missing) / len(smooth) < 0.05


@pytest.mark.parametrize("ufunc", [f for f in ufuncs_of_numpy() if varies(f)], ids=lambda f: f.__name__)
def test_a_ufunc_has_both_orders_of_derivative(agrees, dtype, ufunc):
    if ufunc.__name__ in NOT_DIFFERENTIATED:
        assert isinstance(ufunc(*map(leaf, arguments_of(ufunc))), np.ndarray)
        return
    position = len(outputs(ufunc(*arguments_of(ufunc)))) - 1  # of divmod the remainder, of modf the fraction
    position = 0 if ufunc is np.modf else position

    def f(*xs):
        return outputs(ufunc(*xs))[position].astype(np.result_type(*(x.dtype for x in xs if x.dtype.kind == "f")))

    agrees(f, f, *arguments_of(ufunc))


@pytest.mark.parametrize("ufunc", [f for f in ufuncs_of_numpy() if not varies(f)], ids=lambda f: f.__name__)
def test_a_ufunc_that_only_steps_gives_plain_arrays(ufunc):
    y = ufunc(*map(leaf, arguments_of(ufunc)))
    assert isinstance(y, np.ndarray)
    np.testing.assert_array_equal(y, ufunc(*arguments_of(ufunc)))


# Values that are special


def test_nan_is_passed_over(dtype):
    x = leaf([[1.0, np.nan, 3.0], [np.nan, 5.0, -2.0]], dtype)
    for function in (np.nansum, np.nanmean, np.nanmax, np.nanmin):
        for keywords in ({}, {"axis": 1}, {"axis": (0, 1)}):
            y = function(x, **keywords)
            np.testing.assert_allclose(y.data, function(x.data, **keywords), rtol=1e-6)
            assert y.dtype == dtype
            (g,) = mg.grad(y.sum(), x)
            assert np.all(np.isfinite(g.data))
            assert np.all(g.data[np.isnan(x.data)] == 0)
    np.testing.assert_array_equal(mg.grad(np.nanmean(x), x)[0].data, np.where(np.isnan(x.data), 0, dtype.type(0.25)))


@pytest.mark.parametrize("function", [np.nanmax, np.nanmin])
def test_where_all_is_nan_there_is_no_extreme(function):
    x = leaf([[np.nan, np.nan], [np.nan, 3.0]])
    y = function(x, axis=1)
    np.testing.assert_array_equal(y.data, [np.nan, 3])
    y[1].backward()
    np.testing.assert_array_equal(x.grad[1], [0, 1])


def test_weights_of_a_count_are_floats_and_labels_may_be_a_tensor():
    labels, weights = np.array([0, 2, 0]), leaf([1.0, 2.0, 3.0], "float32")
    y = np.bincount(labels, weights)
    labels[:] = 1  # too late to change the counts
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y.data, [4, 0, 2])
    np.testing.assert_array_equal(mg.grad(y, weights, np.array([1.0, 5.0, 7.0]))[0].data, [1, 7, 1])
    found = np.bincount(mg.tensor([0, 1, 1], dtype=int))
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, [1, 2])
    with pytest.raises(ValueError, match=r"bincount: .* same length"):
        np.bincount([0, 1], weights)


def test_fmax_prefers_a_number_to_nan():
    a, b = leaf([1.0, np.nan, 2.0]), leaf([np.nan, 3.0, 2.0])
    by_a, by_b = mg.grad(np.fmax(a, b), [a, b], np.ones(3))
    np.testing.assert_array_equal(np.fmax(a, b).data, [1, 3, 2])
    np.testing.assert_array_equal([by_a.data, by_b.data], [[1, 0, 0.5], [0, 1, 0.5]])


def test_nan_to_num_has_no_gradient_where_it_replaces():
    x = leaf([1.0, np.nan, np.inf, -np.inf])
    y = np.nan_to_num(x, nan=7.0, posinf=8.0)
    np.testing.assert_array_equal(y.data, [1, 7, 8, -np.finfo(float).max])
    np.testing.assert_array_equal(mg.grad(y, x, np.ones(4))[0].data, [1, 0, 0, 0])


def test_sinc_at_zero():
    x = leaf([0.0, 0.5])
    np.testing.assert_allclose(np.sinc(x).data, [1, 2 / math.pi])
    np.testing.assert_allclose(mg.grad(np.sinc(x), x, np.ones(2))[0].data, [0, -4 / math.pi], atol=1e-12)


@pytest.mark.parametrize("a", [np.float32([2, -3]), np.array([2, -3]), -2.0])
@pytest.mark.parametrize("b", [np.array([-1.0, 2.0]), np.float32([-1, 2]), -1.0, -0.0])
def test_copysign_has_the_dtype_of_both(a, b):
    arrays = np.asarray(a), np.asarray(b)
    for found, expected in (
        (np.copysign(mg.tensor(arrays[0]), b), np.copysign(arrays[0], b)),
        (np.copysign(a, mg.tensor(arrays[1])), np.copysign(a, arrays[1])),
    ):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("x", [[], [np.inf, np.inf], [np.inf, 1.0], [1.0, 0.0]])
def test_negative_norms_of_infinity_zero_and_nothing_are_numpys(x):
    with np.errstate(divide="ignore"):
        for ord in (-1, -2, -0.5):
            np.testing.assert_allclose(np.linalg.norm(leaf(x), ord).data, np.linalg.norm(np.array(x), ord))


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8])
def test_nanmean_of_more_elements_than_the_dtype_can_count(dtype):
    x = rng.integers(0, 2, size=300).astype(dtype)
    assert np.nanmean(mg.tensor(x)).item() == pytest.approx(x.mean(), rel=1e-6)


def test_a_remainder_of_0_has_the_derivative_1():
    for ufunc in (np.remainder, np.fmod):
        x = leaf([0.0, -0.0, 2.5, -2.5])
        np.testing.assert_array_equal(mg.grad(ufunc(x, 2), x, np.ones(4))[0].data, np.ones(4))


@pytest.mark.parametrize("ord", [0.5, 1.5, 3, -1, -2])
def test_a_norm_has_the_derivative_0_by_an_element_that_is_0(ord):
    x = leaf([[0.0, 2.0, -1.0], [0.0, 0.0, 0.0]])
    with np.errstate(divide="ignore", invalid="ignore"):
        (g,) = mg.grad(np.linalg.norm(x, ord, axis=1), x, np.ones(2), create_graph=True)
    np.testing.assert_array_equal(g.data[x.data == 0], 0)
    if ord > 0:
        others = leaf([2.0, -1.0])
        np.testing.assert_allclose(g.data[0, 1:], mg.grad(np.linalg.norm(others, ord), others)[0].data, rtol=1e-14)


def test_the_number_of_parts_may_be_a_tensor():
    x = R(5)
    for parts in (mg.tensor(np.array(2)), mg.tensor(np.array([1, 4]))):
        for y, expected in zip(np.array_split(leaf(x), parts), np.array_split(x, parts.data), strict=True):
            np.testing.assert_array_equal(y.data, expected)


def test_a_rotation_needs_two_axes():
    for axes in ((1, 1), (0, -2), (0, 1, 0), (0, 2)):
        with pytest.raises(ValueError, match=r"rot90: shape \(2, 3\): "):
            np.rot90(leaf(R(2, 3)), axes=axes)


def test_sinc_has_two_derivatives_at_and_near_0():
    for x in (0.0, 1e-300, 1e-9, -9e-5, 1.1e-4, 1e-3):
        assert np.sinc(leaf(x)).item() == pytest.approx(np.sinc(x), rel=1e-15)
        slope, bend = -(math.pi**2) * x / 3, -(math.pi**2) / 3 + math.pi**4 * x**2 / 10  # of its series
        assert mg.jacobian(np.sinc, x) == pytest.approx(slope, rel=2e-6)
        assert mg.hessian(np.sinc, x) == pytest.approx(bend, rel=1e-6)
    assert np.sinc(leaf(1e30, np.float32)).dtype == np.float32  # without a warning of its square


def test_the_largest_norms_share_ties():
    x = leaf([3.0, -3.0, 1.0])
    np.testing.assert_array_equal(mg.grad(np.linalg.norm(x, np.inf), x)[0].data, [0.5, -0.5, 0])
    np.testing.assert_array_equal(mg.grad(np.linalg.norm(leaf([0.0, 0.0])), x)[0].data, [0, 0, 0])


@pytest.mark.parametrize("order", [1, 1.5, 2, 3, 4])
def test_norms_of_any_order_have_the_derivative_0_at_0(order):
    x = leaf([[0.0, 0.0], [3.0, 0.0]])
    y = np.linalg.norm(x, order, axis=1)
    np.testing.assert_allclose(y.data, [0, 3])
    np.testing.assert_allclose(mg.grad(y, x, np.ones(2))[0].data, [[0, 0], [1, 0]])


def test_a_copy_is_not_written_to_with_its_source(dtype):
    w = leaf([1.0, 2.0], dtype)
    with mg.no_grad():
        before = np.copy(w)
    y = np.copy(w) * 3
    w.data -= 1
    np.testing.assert_array_equal(before.data, [1, 2])
    assert before.dtype == y.dtype == dtype


def test_the_modulo_operator():
    x = leaf([5.5, -5.5])
    np.testing.assert_array_equal((x % 2).data, [1.5, 0.5])
    np.testing.assert_array_equal((7 % x).data, [1.5, -4])
    np.testing.assert_array_equal(mg.grad(7 % x, x, np.ones(2))[0].data, [-1, 2])


def test_remainders_at_the_ends_of_the_range_are_numpys(dtype):
    tiny, huge = np.finfo(dtype).smallest_normal, np.finfo(dtype).max
    a, b = (np.array(x, dtype) for x in ([huge, -huge, np.inf, np.nan, 3, -3], [tiny, tiny, 2, 2, np.inf, 2]))
    with np.errstate(over="ignore", invalid="ignore"):
        for ufunc in (np.remainder, np.fmod):
            found = ufunc(leaf(a), leaf(b))
            np.testing.assert_array_equal(found.data, ufunc(a, b))
            assert found.dtype == dtype
            assert ufunc(leaf(a[0]), leaf(b[0])).dtype == dtype
        np.testing.assert_array_equal(np.modf(leaf(a[2:]))[0].data, np.modf(a[2:])[0])
        assert np.modf(leaf(a))[0].dtype == dtype
    assert np.modf(mg.tensor(np.int8(3)))[0].item() == 0  # NumPy's fraction of an int8 is a float16


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_remainder_is_numpys_to_the_last_digit(dtype):
    """Computed as a − ⌊a/b⌋·b, it would lose most of its digits where ⌊a/b⌋·b is rounded."""
    rng = np.random.default_rng(0)
    a, b = (np.array(rng.normal(size=200) * 10 ** rng.uniform(-3, 4, 200), dtype) for _ in range(2))
    b[0] = np.inf
    for ufunc in (np.remainder, np.fmod):
        for y in (ufunc(leaf(a, dtype), b), ufunc(a, leaf(b, dtype))):
            np.testing.assert_array_equal(y.data, ufunc(a, b))


def test_lists_beside_tensors():
    x = leaf([5.0, -3.0])
    for ufunc in (np.fmod, np.remainder, np.copysign, np.logaddexp2, np.fmax, np.float_power):
        np.testing.assert_allclose(ufunc(abs(x), [2.0, 4.0]).data, ufunc(abs(x).data, [2.0, 4.0]))
        np.testing.assert_allclose(ufunc([2.0, 4.0], x).data, ufunc([2.0, 4.0], x.data))
    assert np.trapezoid([2.0, 4.0], x).item() == np.trapezoid([2.0, 4.0], x.data)


def test_float32_stays_float32(dtype):
    x = leaf([0.3, 0.7], dtype)
    for ufunc in ufuncs_of_numpy():
        if ufunc.nin == 1 and varies(ufunc) and ufunc is not np.arccosh:
            for y in outputs(ufunc(x)):
                assert y.dtype == dtype, ufunc
    for y in (
        np.logaddexp2(x, 1.0),
        np.fmax(x, 0.5),
        np.remainder(x, 0.2),
        np.copysign(x, -1.0),
        np.fmod(x, 0.2),
        np.fmod(-2, x),
        np.fmod(2.0, x),
        np.sinc(x),
        np.average(x, weights=np.array([True, True])),
    ):
        assert y.dtype == dtype


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (lambda x: np.vstack([x, x[:, :2]]), ValueError, "vstack: "),
        (lambda x: np.gradient(x, [0, 1], axis=0), TypeError, "gradient: shape (2, 3): on Tensors a spacing"),
        (lambda x: np.gradient(x, edge_order=2), TypeError, "gradient: shape (2, 3): on Tensors a spacing"),
        (lambda x: np.linalg.norm(x, "nuc"), ValueError, "norm: ord='nuc' over 2 axes is not supported"),
        (lambda x: np.linalg.norm(x, 2), ValueError, "norm: ord=2 over 2 axes is not supported"),
        (lambda x: np.linalg.norm(x[0], 0), ValueError, "norm: ord=0 over 1 axes is not supported"),
        (lambda x: np.linalg.norm(x, axis=2), ValueError, "norm: shape (2, 3): axis 2 is out of bounds"),
        (
            lambda x: np.cross(x, x[:, :2]),
            ValueError,
            "cross: shapes (2, 3) and (2, 2): vectors of three numbers are needed",
        ),
        (lambda x: np.diff(x, prepend=0), TypeError, "diff() got an unexpected keyword argument 'prepend'"),
        (lambda x: np.take(x, [9]), IndexError, "take: shape (6,): index 9 is out of bounds"),
        (lambda x: np.array_split(x, 2, axis=5), ValueError, "array_split: shape (2, 3): axis 5 is out of bounds"),
        (lambda x: np.hstack([x, x[0]]), ValueError, "hstack: "),
        (lambda x: np.average(x, returned=True), TypeError, "average() got an unexpected keyword argument 'returned'"),
        (lambda x: np.take(x, 0, mode="wrap"), TypeError, "take() got an unexpected keyword argument 'mode'"),
        (lambda x: np.nansum(x, where=True), TypeError, "nansum() got an unexpected keyword argument 'where'"),
        (lambda x: np.copy(x, order="C"), TypeError, "copy() got an unexpected keyword argument 'order'"),
    ],
)
def test_the_sentence_of_a_wrong_call(call, kind, sentence):
    with pytest.raises(kind) as caught:
        call(leaf(np.ones((2, 3))))
    assert str(caught.value).startswith(sentence)


def test_nan_to_num_leaves_its_input_alone():
    x = leaf([1.0, np.nan])
    np.testing.assert_array_equal(np.nan_to_num(x, copy=False).data, [1, 0])
    np.testing.assert_array_equal(x.data, [1, np.nan])
