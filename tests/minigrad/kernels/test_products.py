"""Every rung of the ladder of matrix products is NumPy's product, whatever the shape and layout."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels import matrices

products = pytest.importorskip("minigrad.kernels.products")

RUNGS = [products.by_definition, products.by_rows, products.by_panels, products.by_fours]
EDGES = [0, 1, 2, 3, 4, 5, 7, 17, 127, 128, 129, 132, 511, 512, 513, 516]  # around 4, and a panel's depth and width
RELATIVE = {"float32": 1e-5, "float64": 1e-12}
rng = np.random.default_rng(0)
SHAPES = [(1, 1, 1), (97, 193, 257), *(tuple(rng.choice(EDGES, 3)) for _ in range(60))]


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


def close(c, a, b):
    """c equals a @ b, with errors relative to |a| @ |b|."""
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
    a, b = pair(6, 2, 3, dtype)  # a depth of 2 padded to 4: the padding must not meet an infinity
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


@pytest.mark.parametrize(
    ("room", "number"), [("taken out", "float32"), ("taken out", "float64"), ("as it is", "float64")]
)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_matmul_of_any_layout(monkeypatch, layout, room, number):
    """The packed product, which is compiled again for every layout, has tests of its own."""
    dtype = np.dtype(number)
    if room == "taken out":
        monkeypatch.setattr(matrices, "packed", None)
    for m, k, n in [(0, 3, 2), (3, 0, 2), (5, 6, 1), (9, 130, 20)]:
        a, b = pair(m, k, n, dtype)
        if layout is LAYOUTS["one row"] and 0 in (m, k):
            continue
        close(products.matmul(layout(a), layout(b)), layout(a), layout(b))


def test_only_two_compiled_versions(monkeypatch):
    """One for each dtype, whatever the layout."""
    monkeypatch.setattr(matrices, "packed", None)
    a = rng.normal(size=(4, 5))
    for layout in LAYOUTS.values():
        products.matmul(layout(a), layout(a.T))
    assert len(products.by_fours.signatures) <= 2


class Room:
    """A stand-in for the packed product, which notes the calls and wins if told to."""

    def __init__(self, winning=False):
        self.asked, self.multiplied, self.winning = [], [], winning

    def supported(self):
        return True

    def wins(self, *question):
        self.asked.append(question)
        return self.winning

    def matmul(self, a, b):
        self.multiplied.append((a.shape, b.shape))
        return a @ b

    def prepare(self, w):
        return w.copy()

    def times(self, h, w, out):
        self.multiplied.append((h.shape, w.shape))
        return np.dot(h, w, out)


@pytest.fixture
def fours(monkeypatch):
    """The shapes of the products that the plain loops were asked for."""
    asked = []
    monkeypatch.setattr(products, "by_fours", lambda a, b, c: asked.append(c.shape))
    return asked


LARGE = rng.normal(size=(200, 300)), rng.normal(size=(300, 100))


def test_the_loops_multiply_when_kernels_are_asked_for_by_name(monkeypatch, fours):
    monkeypatch.setattr(matrices, "packed", None)
    a, b = LARGE
    for choice in ("auto", "numpy", "definition"):
        with mg.kernels.use(choice):
            mg.matmul(a, b)
    assert fours == []
    with mg.kernels.use("numba"):
        mg.matmul(a, b)
        mg.matmul(a, b[:, 0])  # not two matrices of floats: NumPy again
        mg.matmul(np.ones((2, 3, 4)), np.ones((4, 5)))
        mg.matmul(np.ones((2, 3)), np.ones((3, 2), int))
        mg.matmul(np.ones((2, 3), int), np.ones((3, 2), int))
    assert fours == [(200, 100)]


def test_the_packed_product_goes_first_where_there_is_one(monkeypatch, fours):
    room = Room()
    monkeypatch.setattr(matrices, "packed", room)
    with mg.kernels.use("numba"):
        mg.matmul(*LARGE)
    assert room.multiplied == [((200, 300), (300, 100))]
    assert fours == room.asked == []


@pytest.mark.parametrize("winning", [True, False])
def test_under_auto_the_shapes_decide(monkeypatch, winning):
    room = Room(winning)
    monkeypatch.setattr(matrices, "packed", room)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    matrices.blas_threads.cache_clear()
    a, b = LARGE
    with mg.kernels.use("auto"):
        mg.matmul(a, b)
        mg.matmul(a, b.T.copy().T)
        mg.matmul(a, b.astype("float32"))
        mg.matmul(a, b[:, 0])
        mg.matmul(a[:64, :64], b[:64, :64])  # so small that no rule is asked
        mg.matmul(a[:64, :64], b[:64, :64].T.copy().T)
        mg.matmul(a[:100, :100], b[:100])
        times = matrices.product_with(b, rows=200)
        times(a, np.empty((200, 100)))
    matrices.blas_threads.cache_clear()
    double = np.dtype("float64")
    assert room.asked == [(200, 300, 100, transposed, double, 3) for transposed in (False, True, False)]
    assert len(room.multiplied) == (3 if winning else 0)


class Labelled(np.ndarray):
    """A subclass of arrays, such as np.matrix is."""


@pytest.mark.parametrize("choice", ["auto", "numba", "numpy", "definition"])
def test_a_small_product_is_that_of_numpy(choice):
    """Of two dtypes, of nothing, of a subclass, into `out`; on both sides of the size that counts as small."""
    for m, k, n in [(0, 3, 2), (3, 0, 2), (1, 5, 1), (64, 64, 64), (64, 64, 65), (100, 2, 100)]:
        for left, right in ["ff", "dd", "fd", "lf", "bb", "??"]:
            a, b = (10 * x for x in pair(m, k, n, float))
            a, b = a.astype(left), b.astype(right)
            expected, out = np.matmul(a, b), np.empty((m, n), np.result_type(a, b))
            with mg.kernels.use(choice):
                small, labelled = matrices.matrix_product(a, b), matrices.matrix_product(a.view(Labelled), b)
                assert matrices.matrix_product(a, b, out=out) is out
            assert small.dtype == expected.dtype
            assert type(small) is np.ndarray
            assert type(labelled) is Labelled
            for found in (small, labelled, out):
                np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3 if "f" in left + right else 1e-9)


@pytest.mark.parametrize("choice", ["auto", "numba", "numpy", "definition"])
@pytest.mark.parametrize("room", ["as it is", "taken out"])
def test_a_product_with_one_matrix(monkeypatch, dtype, choice, room):
    if room == "taken out":
        monkeypatch.setattr(matrices, "packed", None)
    for rows, k, n in [(0, 3, 2), (1, 1, 1), (5, 7, 20), (64, 96, 200)]:
        wide, w = pair(rows, 2 * k, n, dtype)[0], pair(rows, k, n, dtype)[1]
        for right in (w, w.T.copy().T):
            with mg.kernels.use(choice):
                times, out = matrices.product_with(right, rows), np.empty((rows, n), dtype)
                for h in (wide[:, :k], wide[:, k:]):
                    times(h, out)
                    close(out, h, w)


def test_the_op_with_kernels(dtype):
    with mg.kernels.use("numba"):
        x, w = (mg.tensor(array, requires_grad=True) for array in pair(7, 11, 5, dtype))
        y = x @ w
        y.backward(np.ones((7, 5), dtype))
        close(y.data, x.data, w.data)
        close(w.grad, x.data.T, np.ones((7, 5), dtype))
        with pytest.raises(ValueError, match="inner sizes 11 and 7 differ"):
            x @ x
