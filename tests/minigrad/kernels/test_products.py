"""Every rung of the ladder of matrix products is NumPy's product, whatever the shape and layout."""

import numpy as np
import pytest

import minigrad as mg

products = pytest.importorskip("minigrad.kernels.products")

RUNGS = [products.by_definition, products.by_rows, products.by_panels, products.by_fours]
EDGES = [0, 1, 2, 3, 4, 5, 7, 17, 95, 96, 97, 100, 255, 256, 257, 260]  # of a four, of a panel's depth and width
RELATIVE = {"float32": 1e-5, "float64": 1e-12}
rng = np.random.default_rng(0)
SHAPES = [(1, 1, 1), (97, 193, 257), *(tuple(rng.choice(EDGES, 3)) for _ in range(60))]


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


def close(c, a, b):
    """c is a @ b up to rounding, in parts of what the terms of each sum add up to without their signs."""
    assert c.dtype == a.dtype
    assert c.shape == (len(a), b.shape[1])
    exact, terms = a.astype("float64") @ b.astype("float64"), np.abs(a) @ np.abs(b)
    assert np.all(np.abs(c - exact) <= RELATIVE[a.dtype.name] * terms)


def pair(m, k, n, dtype):
    return rng.normal(size=(m, k)).astype(dtype), rng.normal(size=(k, n)).astype(dtype)


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.__name__)
def test_a_rung_adds_the_product(rung, dtype):
    for shape in SHAPES:
        a, b = pair(*shape, dtype)
        c = np.zeros((len(a), b.shape[1]), dtype)
        rung(a, b, c)
        close(c, a, b)
        before = rng.normal(size=c.shape).astype(dtype)
        total = before.copy()
        rung(a, b, total)
        np.testing.assert_allclose(total, before + c, rtol=0, atol=1e4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.__name__)
def test_nan_and_infinity_stay_in_their_rows_and_columns(rung, dtype):
    a, b = np.abs(pair(9, 7, 6, dtype)[0]), np.abs(pair(9, 7, 6, dtype)[1])
    a[2, 6], a[5, 0], b[3, 1] = np.nan, np.inf, -np.inf
    c = np.zeros((9, 6), dtype)
    rung(a, b, c)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(c, a @ b, rtol=1e-5)
    a, b = pair(6, 2, 3, dtype)  # two of four: what fills them up must not meet an infinity
    a[:] = np.inf
    c = np.zeros((6, 3), dtype)
    rung(a, np.abs(b), c)
    assert np.all(c == np.inf)


@pytest.mark.parametrize("rung", RUNGS, ids=lambda rung: rung.__name__)
def test_the_same_bits_every_time(rung, dtype):
    a, b = pair(30, 120, 270, dtype)
    first, second = np.zeros((30, 270), dtype), np.zeros((30, 270), dtype)
    rung(a, b, first)
    rung(a, b, second)
    assert np.array_equal(first, second)


LAYOUTS = {
    "transposed": lambda x: x.T.copy().T,
    "every other": lambda x: np.repeat(np.repeat(x, 2, 0), 2, 1)[::2, ::2],
    "backwards": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    "one row": lambda x: np.broadcast_to(x[:1], x.shape),
    "fortran, read-only": lambda x: np.frombuffer(x.T.tobytes(), x.dtype).reshape(x.shape[::-1]).T,
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_matmul_of_any_layout(layout, dtype):
    for m, k, n in [(0, 3, 2), (3, 0, 2), (5, 6, 1), (9, 130, 20)]:
        a, b = pair(m, k, n, dtype)
        if layout is LAYOUTS["one row"] and 0 in (m, k):
            continue
        close(products.matmul(layout(a), layout(b)), layout(a), layout(b))


def test_only_two_compiled_versions():
    """One for each dtype: no layout makes another one."""
    a = rng.normal(size=(4, 5))
    for layout in LAYOUTS.values():
        products.matmul(layout(a), layout(a.T))
    assert len(products.by_fours.signatures) <= 2


def test_who_multiplies(monkeypatch):
    """Under `auto` it is NumPy's BLAS; the loops take two matrices when kernels are asked for by name."""
    asked = []
    monkeypatch.setattr(products, "by_fours", lambda a, b, c: asked.append(c.shape))
    a, b = rng.normal(size=(200, 300)), rng.normal(size=(300, 100))
    for choice in ("auto", "numpy", "definition"):
        with mg.kernels.use(choice):
            mg.matmul(a, b)
    assert asked == []
    with mg.kernels.use("numba"):
        mg.matmul(a, b)
        mg.matmul(a, b[:, 0])  # no two matrices: NumPy again
        mg.matmul(np.ones((2, 3, 4)), np.ones((4, 5)))
        mg.matmul(np.ones((2, 3)), np.ones((3, 2), int))
        mg.matmul(np.ones((2, 3), int), np.ones((3, 2), int))
    assert asked == [(200, 100)]


def test_the_op_with_kernels(dtype):
    with mg.kernels.use("numba"):
        x, w = (mg.tensor(array, requires_grad=True) for array in pair(7, 11, 5, dtype))
        y = x @ w
        y.backward(np.ones((7, 5), dtype))
        close(y.data, x.data, w.data)
        close(w.grad, x.data.T, np.ones((7, 5), dtype))
        with pytest.raises(ValueError, match="inner sizes 11 and 7 differ"):
            x @ x
