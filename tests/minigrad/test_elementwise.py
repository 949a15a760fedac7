"""Functions of each element: values and derivatives against NumPy, and the points where they break."""

import math

import numpy as np
import pytest

import minigrad as mg

rng = np.random.default_rng(1)
erfc = np.vectorize(math.erfc, otypes=[float])

UNARY = {  # name → NumPy's function, and where it is smooth
    "negative": (np.negative, -2, 2),
    "abs": (np.abs, 0.1, 2),
    "exp": (np.exp, -2, 2),
    "expm1": (np.expm1, -2, 2),
    "log": (np.log, 0.3, 3),
    "log1p": (np.log1p, -0.5, 3),
    "log2": (np.log2, 0.3, 3),
    "log10": (np.log10, 0.3, 3),
    "sqrt": (np.sqrt, 0.3, 3),
    "square": (np.square, -2, 2),
    "reciprocal": (np.reciprocal, 0.5, 3),
    "sin": (np.sin, -2, 2),
    "cos": (np.cos, -2, 2),
    "tan": (np.tan, -1, 1),
    "arcsin": (np.arcsin, -0.8, 0.8),
    "arccos": (np.arccos, -0.8, 0.8),
    "arctan": (np.arctan, -2, 2),
    "sinh": (np.sinh, -2, 2),
    "cosh": (np.cosh, -2, 2),
    "tanh": (np.tanh, -2, 2),
    "arcsinh": (np.arcsinh, -2, 2),
    "arccosh": (np.arccosh, 1.3, 3),
    "arctanh": (np.arctanh, -0.8, 0.8),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), -3, 3),
    "relu": (lambda x: np.maximum(x, 0), 0.1, 2),
    "leaky_relu": (lambda x: np.where(x > 0, x, 0.01 * x), -2, -0.1),
    "elu": (lambda x: np.where(x > 0, x, np.expm1(x)), -2, -0.1),
    "softplus": (lambda x: np.log1p(np.exp(x)), -3, 3),
    "silu": (lambda x: x / (1 + np.exp(-x)), -3, 3),
    "gelu": (lambda x: x * erfc(-x / math.sqrt(2)) / 2, -3, 3),
    "softsign": (lambda x: x / (1 + np.abs(x)), 0.1, 3),
    "hard_tanh": (lambda x: np.clip(x, -1, 1), -0.9, 0.9),
}
BINARY = {  # name → NumPy's function, the range of a and that of b
    "add": (np.add, (-2, 2), (-2, 2)),
    "subtract": (np.subtract, (-2, 2), (-2, 2)),
    "multiply": (np.multiply, (-2, 2), (-2, 2)),
    "divide": (np.divide, (-2, 2), (0.5, 2)),
    "power": (np.power, (0.3, 2), (-2, 2)),
    "maximum": (np.maximum, (-2, -0.1), (0.1, 2)),
    "minimum": (np.minimum, (-2, -0.1), (0.1, 2)),
    "logaddexp": (np.logaddexp, (-2, 2), (-2, 2)),
    "arctan2": (np.arctan2, (0.2, 2), (-2, 2)),
    "hypot": (np.hypot, (0.2, 2), (0.2, 2)),
}
PAIRS = [
    ((), ()),
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((2, 1), (1, 3)),
    ((), (2, 3)),
    ((1, 1), (3,)),
    ((0, 3), (3,)),
    ((1,), (0,)),
]
DTYPES = ["float32", "float64"]


def leaf(x, dtype=None):
    return mg.tensor(x, requires_grad=True, dtype=dtype)


def derivatives(f, *xs):
    """dΣf/dx for each x, as arrays."""
    xs = [x if isinstance(x, mg.Tensor) else leaf(x) for x in xs]
    return [g.data for g in mg.grad(f(*xs).sum(), xs)]


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,), (2, 0)], ids=str)
@pytest.mark.parametrize("name", UNARY)
def test_a_function_of_one_element(agrees, name, shape):
    reference, low, high = UNARY[name]
    agrees(getattr(mg, name), reference, rng.uniform(low, high, shape))


@pytest.mark.parametrize("shapes", PAIRS, ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_a_function_of_two(agrees, name, shapes):
    reference, *ranges = BINARY[name]
    a, b = (rng.uniform(*ends, shape) for ends, shape in zip(ranges, shapes, strict=True))
    agrees(getattr(mg, name), reference, a, b)
    agrees(lambda a: getattr(mg, name)(a, b.astype(a.dtype)), lambda a: reference(a, b), a)
    agrees(lambda b: getattr(mg, name)(a.astype(b.dtype), b), lambda b: reference(a, b), b)


@pytest.mark.parametrize("name", BINARY)
def test_a_python_number_leaves_the_dtype_alone(dtype, close, name):
    reference, *_ = BINARY[name]
    op = getattr(mg, name)
    x = leaf([0.5, 1.5], dtype)
    for number in (2, 2.0, True):
        for f in (lambda x, n=number: op(x, n), lambda x, n=number: op(n, x)):
            y = f(x)
            (g,) = mg.grad(y.sum(), x, create_graph=True)
            assert y.dtype == g.dtype == dtype
        close(op(x, number).data, reference(x.data, float(number)))
        close(op(number, x).data, reference(float(number), x.data))


@pytest.mark.parametrize("name", UNARY)
def test_python_numbers_lists_and_integers_are_accepted(name):
    reference, low, high = UNARY[name]
    op = getattr(mg, name)
    number = 0.5 if low <= 0.5 <= high else (low + high) / 2
    for x in (number, [number, number], np.array([1, 1]), 1):
        if name in ("arctanh",) and np.asarray(x).dtype.kind == "i":
            continue  # infinite at 1
        y = op(x)
        assert isinstance(y, np.ndarray)
        np.testing.assert_allclose(y, reference(np.asarray(x, float)), rtol=1e-12)
    assert op(mg.tensor([number])).requires_grad is False


@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_it_is_a_method_of_tensors_and_an_override_of_numpy(name):
    xs = [leaf([0.5, 0.7])] if name in UNARY else [leaf([0.5, 0.7]), leaf([0.6, 0.9])]
    xs = [x + 1 for x in xs] if name == "arccosh" else xs
    y = getattr(mg, name)(*xs)
    np.testing.assert_array_equal(getattr(xs[0], name)(*xs[1:]).data, y.data)
    if hasattr(np, name):
        through_numpy = getattr(np, name)(*xs)
        assert through_numpy.node.op is y.node.op
        np.testing.assert_array_equal(through_numpy.data, y.data)


def test_operators_run_the_ops_from_both_sides():
    x, array = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    cases = {
        "add": (x + array, array + x, (3.0, 4.0) + x, 3 + x),  # noqa: RUF005 (it is a sum)
        "subtract": (x - array, array - x, [3.0, 4.0] - x, 3 - x),
        "multiply": (x * array, array * x, [3.0, 4.0] * x, np.float64(3) * x),
        "divide": (x / array, array / x, [3.0, 4.0] / x, 3 / x),
        "power": (x**array, array**x, [3.0, 4.0] ** x, 3**x),
        "matmul": (x @ array, array @ x, [3.0, 4.0] @ x),
    }
    for name, results in cases.items():
        for y in results:
            assert isinstance(y, mg.Tensor)
            assert y.node.op.name == name
    assert [(-x).node.op.name, abs(x).node.op.name] == ["negative", "abs"]
    np.testing.assert_array_equal((array - x).data, [2, 2])
    np.testing.assert_array_equal((3**x).data, [3, 9])


def test_where_chooses_values_and_gradients(agrees):
    condition = np.array([[True, False, True], [False, False, True]])
    a, b = rng.normal(size=(2, 3)), rng.normal(size=3)
    agrees(lambda a, b: mg.where(condition, a, b), lambda a, b: np.where(condition, a, b), a, b)
    agrees(lambda a: mg.where(condition, a, 0), lambda a: np.where(condition, a, 0), a)
    agrees(lambda b: mg.where(condition[0, 0], 1.5, b), lambda b: np.where(condition[0, 0], 1.5, b), b)
    agrees(lambda a: mg.where(condition.astype(int), a, a * a), lambda a: np.where(condition, a, a * a), a)


def test_clip_has_bounds_that_are_inputs_too(agrees):
    x = np.array([-1.5, -0.2, 0.4, 1.8])
    low, high = np.array([-1.0, -1.1, -0.9, -1.2]), np.array(0.9)
    agrees(mg.clip, np.clip, x, low, high)
    agrees(lambda x: mg.clip(x, -1, None), lambda x: np.clip(x, -1, None), x)
    agrees(lambda x: x.clip(high=1) if isinstance(x, mg.Tensor) else mg.clip(x, high=1), lambda x: np.minimum(x, 1), x)
    agrees(
        lambda low, high: mg.clip(x.astype(low.dtype), low, high),
        lambda low, high: np.clip(x, low, high),
        [1.0],
        [-1.0],
    )


def test_astype_goes_there_and_back(dtype):
    x = leaf([1.5, 2.5], dtype)
    for other in DTYPES:
        y = x.astype(other)
        assert y.dtype == other
        (g,) = mg.grad((y * y).sum(), x)
        assert g.dtype == dtype
        np.testing.assert_array_equal(g.data, [3, 5])
    y = x.astype(dtype)
    x.data -= 1
    np.testing.assert_array_equal(y.data, [1.5, 2.5])  # a copy, as in NumPy
    integers = x.astype(int)
    assert integers.dtype == int
    assert not integers.requires_grad


@pytest.mark.parametrize("name", UNARY)
def test_parameters_keep_the_dtype(dtype, name):
    x = leaf([0.5], dtype) + (1 if name == "arccosh" else 0)
    keywords = {"leaky_relu": {"slope": 0.3}, "elu": {"alpha": 1.7}}.get(name, {})
    y = getattr(mg, name)(x, **keywords)
    assert y.dtype == dtype
    for i in range(len(y.node.inputs)):
        local = y.node.op.local(i, y.data, y.node.arrays, y.node.params)
        assert np.result_type(local, dtype) == dtype


# Kinks: the derivatives that the docstrings name


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (mg.abs, [0.0, -0.0], [0, 0]),
        (mg.relu, [0.0, -0.0], [0, 0]),
        (mg.leaky_relu, [0.0], [0.01]),
        (lambda x: mg.leaky_relu(x, 0.2), [0.0, -1.0, 1.0], [0.2, 0.2, 1]),
        (lambda x: mg.elu(x, 1.5), [0.0, 1.0], [1.5, 1]),
        (mg.hard_tanh, [-1.0, 1.0, 2.0, -2.0], [0, 0, 0, 0]),
        (lambda x: mg.clip(x, -1, 1), [-1.0, 1.0, 2.0], [1, 1, 0]),
        (lambda x: mg.maximum(x, x), [1.0, -2.0], [1, 1]),
        (lambda x: mg.minimum(x, x), [1.0, -2.0], [1, 1]),
        (lambda x: mg.maximum(x, 0), [0.0, 1.0, -1.0], [0.5, 1, 0]),
        (lambda x: mg.hypot(x, x), [0.0], [0]),
        (lambda x: mg.arctan2(x, x), [0.0], [0]),
        (lambda x: x**0, [0.0, 2.0], [0, 0]),
        (lambda x: x**0.0, [0.0, -2.0], [0, 0]),
        (lambda x: x**1, [0.0, -2.0], [1, 1]),
        (lambda x: x**2, [0.0, -3.0], [0, -6]),
        (lambda x: x ** np.array([0.0, 1.0, 2.0]), [0.0, 0.0, 0.0], [0, 1, 0]),
        (lambda x: 0.0**x, [0.0, 1.0, 2.5], [0, 0, 0]),
        (lambda x: np.zeros(3) ** x, [0.0, 1.0, 2.5], [0, 0, 0]),
        (lambda x: x**3, [-2.0], [12]),
        (lambda x: x**-1, [-2.0], [-0.25]),
        (lambda x: mg.where(x > 0, x, x), [0.0], [1]),
    ],
)
def test_the_derivative_at_a_kink(dtype, f, x, expected):
    (g,) = derivatives(f, leaf(x, dtype))
    np.testing.assert_array_equal(g, np.asarray(expected, dtype))


@pytest.mark.parametrize(
    "f", [lambda x: mg.hypot(x, x), lambda x: mg.arctan2(x, x), lambda x: x**0, mg.abs, mg.relu, mg.softsign]
)
def test_the_second_derivative_at_a_kink_is_a_number(f):
    x = leaf([0.0])
    (g,) = mg.grad(f(x).sum(), x, create_graph=True)
    (second,) = mg.grad(g.sum(), x)
    np.testing.assert_array_equal(second.data, [0])


@pytest.mark.parametrize(
    "op", [mg.add, mg.multiply, mg.divide, mg.power, mg.hypot, mg.arctan2, mg.logaddexp, mg.maximum]
)
def test_a_mask_beside_a_tensor_counts_as_zero_and_one(op):
    x, mask = leaf([0.5, 0.7]), np.array([True, True])
    for call in (lambda other: op(x, other), lambda other: op(other, x)):
        (found,), (expected,) = mg.grad(call(mask).sum(), x), mg.grad(call(np.ones(2)).sum(), x)
        np.testing.assert_allclose(found.data, expected.data)


def test_power_mixes_its_second_derivatives_at_exponent_zero():
    a, b = leaf(3.0), leaf(0.0)
    (by_a,) = mg.grad(a**b, a, create_graph=True)
    (mixed,) = mg.grad(by_a, b)
    np.testing.assert_allclose(mixed.data, 1 / 3)  # d/db (b·aᵇ⁻¹)


@pytest.mark.parametrize("kind", ["uint8", "uint64", "int8", "bool"])
def test_exponents_of_every_kind(kind):
    (by_base,) = derivatives(lambda a: a ** np.array([0, 1], kind), [30.0, 30.0])
    np.testing.assert_array_equal(by_base, [0, 1])  # 0 − 1 is 255 in uint8, and 30²⁵⁵ infinite


def test_a_negative_base_has_no_derivative_by_its_exponent():
    by_base, by_exponent = derivatives(lambda a, b: a**b, [-2.0, 2.0], [3.0, 3.0])
    np.testing.assert_array_equal(by_base, [12, 12])
    np.testing.assert_allclose(by_exponent, [np.nan, 8 * np.log(2)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_third_powers_are_right_to_the_last_digit_but_one(dtype):
    tiny, huge = np.finfo(dtype).tiny, np.finfo(dtype).max
    edges = [0.0, -0.0, np.inf, -np.inf, np.nan, tiny ** (1 / 3), huge ** (1 / 3), -huge, tiny]
    x = np.concatenate([rng.normal(size=1000), edges]).astype(dtype)
    with np.errstate(over="ignore", under="ignore"):
        exact = (x.astype(np.longdouble) ** 3).astype(dtype)
        cubes = mg.power(x, 3)
    assert cubes.dtype == dtype
    np.testing.assert_array_max_ulp(cubes[:1000], exact[:1000], maxulp=1)
    np.testing.assert_allclose(cubes, exact, rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(np.signbit(cubes), np.signbit(exact))
    for small in (np.arange(-3, 4), np.array([True, False])):
        np.testing.assert_array_equal(mg.power(small, 3), small**3, strict=True)


def test_power_of_two_numbers_is_numpys():
    np.testing.assert_array_equal(mg.power(2.0, 3), 8)
    with pytest.warns(RuntimeWarning, match="invalid value"):
        assert np.isnan(mg.power(-2.0, 0.5))  # Python would give a complex number


def test_clip_with_crossed_bounds_is_the_upper_one():
    x, low, high = leaf([-1.0, 2.5, 7.0]), leaf(5.0), leaf(3.0)
    np.testing.assert_array_equal(mg.clip(x, low, high).data, [3, 3, 3])
    assert [g.sum() for g in derivatives(mg.clip, x, low, high)] == [0, 0, 3]


def test_gradients_of_ties_add_up_to_one():
    a, b = derivatives(mg.maximum, [1.0, 2.0, 0.0], [1.0, 1.0, 3.0])
    np.testing.assert_array_equal(a, [0.5, 1, 0])
    np.testing.assert_array_equal(a + b, [1, 1, 1])


# Infinity: a branch that is not chosen contributes nothing


@pytest.mark.parametrize(
    "f",
    [
        lambda x: mg.sqrt(mg.relu(x)),
        lambda x: mg.sqrt(mg.where(x > 0, x, 0.0)),
        lambda x: mg.sqrt(mg.clip(x, 0, 10)),
        lambda x: mg.sqrt(mg.maximum(x, 0.0)),
        lambda x: mg.sqrt(mg.hard_tanh(x / 8) + 1),
    ],
    ids=["relu", "where", "clip", "maximum", "hard_tanh"],
)
def test_an_infinite_branch_that_is_not_taken_brings_no_gradient(dtype, f):
    x = leaf([-9.0, 4.0], dtype)
    with np.errstate(divide="ignore"):
        (g,) = derivatives(f, x)
    assert g[0] == 0
    assert np.isfinite(g[1])
    assert g[1] > 0


def test_where_with_an_infinite_branch():
    x = leaf([0.0, 2.0])
    y = mg.where([True, False], 1.0, mg.where([True, False], np.inf, x) * 3)
    np.testing.assert_array_equal(y.data, [1, 6])
    np.testing.assert_array_equal(derivatives(lambda x: mg.where(x > 0, x, -np.inf), x)[0], [0, 1])


# Stable up to the largest number


@pytest.mark.parametrize(
    "name",
    [
        "sigmoid",
        "tanh",
        "relu",
        "leaky_relu",
        "elu",
        "softplus",
        "silu",
        "gelu",
        "softsign",
        "hard_tanh",
        "arctan",
        "arcsinh",
    ],
)
def test_activations_are_finite_up_to_the_largest_number(dtype, name):
    largest = np.finfo(dtype).max
    x = leaf([-largest, -1e4, -100, -1, 0, 1, 100, 1e4, largest], dtype)
    y = getattr(mg, name)(x)
    (g,) = mg.grad(y, x, np.ones_like(y.data), create_graph=True)
    (second,) = mg.grad(g, x, np.ones_like(y.data))
    for values in (y, g, second):
        assert np.all(np.isfinite(values.data))
    assert np.all(np.abs(g.data) < 1.2)
    assert np.all(np.diff(y.data[y.data > 0]) >= 0)


@pytest.mark.parametrize("name", ["sigmoid", "silu", "softsign"])
def test_the_least_integer_is_as_stable_as_any_number(name):
    for kind in (np.int8, np.int16, np.int32, np.int64):
        least = np.array([np.iinfo(kind).min], kind)  # its absolute value overflows
        np.testing.assert_allclose(getattr(mg, name)(least), getattr(mg, name)(least.astype(float)))


@pytest.mark.parametrize("name", ["log", "log2", "log10"])
def test_logarithms_have_a_slope_at_the_largest_number(dtype, name):
    largest = np.finfo(dtype).max
    base = {"log": 1, "log2": math.log(2), "log10": math.log(10)}[name]
    (g,) = derivatives(getattr(mg, name), np.array([largest]))
    np.testing.assert_allclose(g, [1 / float(largest) / base], rtol=1e-6)


def test_small_probabilities_are_exact(dtype):
    x = np.array([-80.0, -40.0, -20.0], dtype)
    np.testing.assert_allclose(mg.sigmoid(x), np.exp(x), rtol=1e-6)
    np.testing.assert_allclose(mg.softplus(x), np.exp(x), rtol=1e-6)
    np.testing.assert_allclose(mg.logaddexp(x, np.zeros_like(x)), np.exp(x), rtol=1e-6)


def test_logaddexp_halves_at_any_magnitude():
    np.testing.assert_array_equal(derivatives(mg.logaddexp, [1e300, 0.0, -1e17], [1e300, 0.0, -1e17]), [[0.5] * 3] * 2)
    np.testing.assert_array_equal(derivatives(lambda a: mg.logaddexp(a, -np.inf), [3.0]), [[1]])


def test_gelu_is_exact_in_the_tails():
    x = np.array([-8.0, -5.0])
    np.testing.assert_allclose(
        mg.gelu(x), x * [math.erfc(8 / math.sqrt(2)) / 2, math.erfc(5 / math.sqrt(2)) / 2], rtol=1e-14
    )


# What is refused


@pytest.mark.parametrize("name", BINARY)
def test_shapes_that_do_not_broadcast(name):
    with pytest.raises(ValueError, match=rf"^{name}: shapes \(3,\) and \(4,\) do not broadcast$"):
        getattr(mg, name)(leaf(np.ones(3)), np.ones(4))
    with pytest.raises(ValueError, match=rf"^{name}: shapes \(2, 3\) and \(2,\) do not broadcast$"):
        getattr(mg, name)(np.ones((2, 3)), leaf(np.ones(2)))


@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_kinds_that_are_refused(name):
    for refused in (np.float16(0.5), np.complex128(0.5), "text", None):
        xs = [refused] if name in UNARY else [leaf([0.5]), refused]
        with pytest.raises(TypeError, match=f"^{name}: "):
            getattr(mg, name)(*xs)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda x: mg.where([True, False], x, 1), "where: shapes (2,) and (3,) do not broadcast"),
        (lambda x: mg.clip(x, [1.0, 2.0], 3), "clip: shapes (3,) and (2,) do not broadcast"),
        (lambda x: mg.add(x), "add: it is called as add(a, b)"),
        (lambda x: mg.leaky_relu(x, alpha=1), "leaky_relu: it is called as leaky_relu(x, slope=0.01), not with alpha="),
        (lambda x: mg.exp(x, where=True), "exp: it is called as exp(x), not with where="),
        (
            lambda x: x.astype("float16"),
            "astype: shape (3,): tensors hold float32, float64, integers or booleans, not float16; "
            "convert with .astype() first",
        ),
    ],
)
def test_the_sentence_of_a_wrong_call(call, sentence):
    with pytest.raises((ValueError, TypeError)) as caught:
        call(leaf(np.ones(3)))
    assert str(caught.value) == sentence


def layer_of_relu(x):
    return mg.dense(x, np.eye(3), np.zeros(3), "relu")


@pytest.mark.parametrize("choice", ["numpy", "numba"])
@pytest.mark.parametrize(
    "f", [mg.relu, mg.hard_tanh, lambda x: mg.maximum(x, 0.5), lambda x: mg.minimum(0.5, x), layer_of_relu]
)
def test_no_choice_turns_nan_into_a_gradient_of_zero(f, choice):
    """After an overflow, the layers before it must not look as if no gradient reached them."""
    x = mg.tensor([[np.nan, -2.0, 0.1]], requires_grad=True)
    with mg.kernels.use(choice):
        y = f(x)
        y.backward([[np.nan, np.nan, 1.0]])
    assert np.isnan(y.data[0, 0])
    assert np.isnan(x.grad[0, 0])
