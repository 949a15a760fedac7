"""The packed product equals NumPy's for every shape, stride, dtype and width of vectors, in threads and forks too."""

import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg

numba = pytest.importorskip("numba")
packed = pytest.importorskip("minigrad.kernels.packed")  # a room that can be left out
if not packed.supported():
    pytest.skip(packed.why_not(), allow_module_level=True)

from minigrad.kernels.packed import product  # noqa: E402 - it needs Numba

ROOT = Path(__file__).parents[3]
HOST = packed.vector_bytes()
WIDTHS = [width for width in (16, 32, 64) if width <= HOST]
DTYPES = [np.float32, np.float64]
LAYOUTS = ["rows", "columns", "every other row", "backwards", "both backwards", "gaps", "read-only"]
CONTIGUOUS = [(one, other) for one in ("rows", "columns") for other in ("rows", "columns")]
STRIDED = [("every other row", "gaps"), ("backwards", "both backwards"), ("gaps", "every other row")]


@pytest.fixture
def width(request, monkeypatch):
    """The product compiled for vectors of this many bytes, which may be narrower than the processor's own."""
    monkeypatch.setattr(product, "vector_bytes", lambda: request.param)
    monkeypatch.setattr(product, "addresses", product.Addresses())
    return request.param


def laid_out(a, layout):
    """An array equal to a in another memory layout."""
    m, n = a.shape
    if layout == "columns":
        return np.asfortranarray(a)
    if layout == "gaps":  # neither rows nor columns are contiguous
        wide = np.full((m, 3 * n), np.nan, a.dtype)[:, ::3]
        wide[...] = a
        return wide
    if layout == "every other row":
        tall = np.full((2 * m, n + 5), np.nan, a.dtype)[::2, 3 : n + 3]
        tall[...] = a
        return tall
    if layout == "backwards":
        return np.ascontiguousarray(a[::-1])[::-1]
    if layout == "both backwards":
        return np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1]
    a = a.copy()
    a.flags.writeable = layout != "read-only"
    return a


def numbers(rng, m, n, dtype):
    return rng.standard_normal((m, n)).astype(dtype)


def assert_product(c, a, b):
    """c equals a @ b, with errors relative to |a| @ |b|: 1e-5 in float32, 1e-12 in float64."""
    exact = a.astype(np.float64) @ b.astype(np.float64)
    sizes = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
    assert c.dtype == a.dtype
    assert c.shape == exact.shape
    assert np.all(np.abs(c - exact) <= (1e-5 if c.dtype == np.float32 else 1e-12) * sizes)


def shapes(rng, count):
    """Shapes up to a few hundred: 0, 1, primes, and one below, at and above every edge of tiles and panels."""
    edges = [*range(8), 15, 16, 17, 31, 32, 33, 61, 63, 64, 65, 95, 96, 97, 127, 128, 131]
    edges += [255, 256, 257, 319, 320, 321]
    for _ in range(count):
        yield tuple(int(rng.choice(edges) if rng.random() < 0.6 else rng.integers(1, 150)) for _ in range(3))


def check_shapes(rng, count, dtype, pairs):
    """Operands in a random pair of layouts; the output has one, too, if they are strided, otherwise contiguous rows.

    This saves time: Numba compiles again for every combination of contiguous, strided and read-only arrays.
    """
    for m, k, n in shapes(rng, count):
        a, b = numbers(rng, m, k, dtype), numbers(rng, k, n, dtype)
        pair = pairs[rng.integers(len(pairs))]
        one, other = laid_out(a, pair[0]), laid_out(b, pair[1])
        assert_product(packed.matmul(one, other), a, b)
        strided = numba.typeof(one).layout == numba.typeof(other).layout == "A"
        out = laid_out(np.full((m, n), np.nan, dtype), rng.choice(LAYOUTS[:-1]) if strided else "rows")
        assert packed.matmul(one, other, out=out) is out
        assert_product(out, a, b)
        prepared, again = packed.prepare(other), np.full((m, n), np.nan, dtype)
        packed.times(one, prepared, again)
        assert_product(again, a, b)


@pytest.mark.parametrize("width", [HOST], indirect=True)
@pytest.mark.parametrize("dtype", DTYPES)
def test_products_of_many_shapes(dtype, width):
    check_shapes(np.random.default_rng(0), 100, dtype, CONTIGUOUS)


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS, indirect=True)
@pytest.mark.parametrize("dtype", DTYPES)
def test_products_of_a_thousand_shapes_in_all_layouts(dtype, width):
    """One operand beside another of any layout is tested below: here are those that are read in different ways."""
    check_shapes(np.random.default_rng(width), 1000, dtype, CONTIGUOUS + STRIDED)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_strides(layout):
    rng = np.random.default_rng(0)
    a, b = numbers(rng, 13, 30, np.float32), numbers(rng, 30, 70, np.float32)
    assert_product(packed.matmul(laid_out(a, layout), b), a, b)
    assert_product(packed.matmul(a, laid_out(b, layout)), a, b)


@pytest.mark.parametrize("width", WIDTHS, indirect=True)
def test_vectors_of_other_processors(width):
    rng = np.random.default_rng(0)
    for m, k, n in [(1, 1, 1), (13, 37, 71), (97, 325, 66), (97, 33, 259)]:
        a, b = numbers(rng, m, k, np.float32), numbers(rng, k, n, np.float32)
        assert_product(packed.matmul(a, b), a, b)
        assert_product(packed.matmul(a, np.asfortranarray(b)), a, b)
        assert_product(packed.times(a, packed.prepare(b), np.empty((m, n), np.float32)), a, b)


SEVERAL = [
    (481, 321, 65), (481, 321, 257), (100, 21, 2100), (20, 330, 1030), (500, 30, 10), (7, 800, 130), (512, 300, 300),
    (64, 512, 512),
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("m", "k", "n"), SEVERAL)
def test_several_blocks_and_panels(m, k, n, dtype):
    rng = np.random.default_rng(0)
    a, b = numbers(rng, m, k, dtype), numbers(rng, k, n, dtype)
    for left in (a, np.asfortranarray(a)):
        for right in (b, np.asfortranarray(b)):
            assert_product(packed.matmul(left, right), a, b)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_edge_of_the_tile(dtype):
    rng = np.random.default_rng(1)
    for m in range(1, 14):
        for n in range(1, 131, 3):
            a, b = numbers(rng, m, 5, dtype), numbers(rng, 5, n, dtype)
            around = np.full((m + 2, n + 2), 7, dtype)  # nothing around the product may be written
            packed.matmul(a, b, out=around[1:-1, 1:-1])
            assert_product(around[1:-1, 1:-1], a, b)
            around[1:-1, 1:-1] = 7
            assert np.all(around == 7)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("rows", [3, 100])
def test_nan_and_infinity_are_numpys(rows, transposed, dtype):
    rng = np.random.default_rng(2)
    a, b = numbers(rng, rows, 40, dtype), numbers(rng, 40, 70, dtype)
    a[1, 3], a[0, 0], b[7, 69], b[3, 2], b[5, 40:] = np.nan, np.inf, np.inf, -np.inf, 0
    a[2, 5] = np.inf  # times 0 it is NaN
    with np.errstate(invalid="ignore"):
        expected = a @ b
    c = packed.matmul(a, np.asfortranarray(b) if transposed else b)
    assert not np.isfinite(expected).all()
    assert np.array_equal(np.isnan(c), np.isnan(expected))
    assert np.array_equal(c[np.isinf(expected)], expected[np.isinf(expected)])
    assert np.array_equal(np.isfinite(c), np.isfinite(expected))


def test_prepared_columns_that_pad_a_panel_are_not_part_of_it():
    rng = np.random.default_rng(3)
    w = packed.prepare(numbers(rng, 20, 10, np.float32))
    with pytest.raises(ValueError, match=r"packed.times: \(3, 20\) @ \(20, 10\) into \(3, 16\)"):
        packed.times(numbers(rng, 3, 20, np.float32), w, np.empty((3, 16), np.float32))


def test_a_prepared_operand_is_a_copy():
    w = np.ones((8, 8))
    prepared = packed.prepare(w)
    w[...] = 0
    assert np.all(packed.times(np.ones((2, 8)), prepared, np.empty((2, 8))) == 8)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_bits_depend_on_the_operands_alone(dtype):
    """They are the same in every call, for any layout and number of threads, for a prepared operand, for some rows."""
    rng = np.random.default_rng(4)
    for m, k, n in [(300, 300, 300), (64, 900, 512), (710, 300, 40)]:
        a, b = numbers(rng, m, k, dtype), numbers(rng, k, n, dtype)
        once = packed.matmul(a, b)
        assert np.array_equal(packed.matmul(a, b), once)
        assert np.array_equal(packed.matmul(a, np.asfortranarray(b)), once)
        assert np.array_equal(packed.matmul(np.asfortranarray(a), b), once)
        assert np.array_equal(packed.times(a, packed.prepare(b), np.empty_like(once)), once)
        assert np.array_equal(packed.matmul(a[3:10], b), once[3:10])
        for count in (2, 3, 7):
            with mg.kernels.threads(count):
                assert np.array_equal(packed.matmul(a, b), once)


@pytest.mark.slow
def test_scratch_memory_lives_until_the_product_is_done(tmp_path):
    """Numba frees an array after its last use; without optimisation that was before the product wrote there."""
    code = (
        "import numpy as np; from minigrad.kernels import packed\n"
        "a, b = np.ones((100, 800), 'f'), np.ones((800, 40000), 'f')\n"
        "assert np.all(packed.matmul(a, b) == 800)"
    )
    environment = {**os.environ, "NUMBA_OPT": "0", "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


@pytest.mark.parametrize("count", [1, 2])
def test_a_vector_is_numpys(count):
    with mg.kernels.threads(count):
        assert packed.matmul(np.ones((3, 4)), np.ones(4)).tolist() == [4, 4, 4]
        assert packed.matmul(np.ones(4), np.ones((4, 2))).tolist() == [4, 4]


def test_out_may_share_memory_with_an_operand():
    rng = np.random.default_rng(5)
    for count in (1, 2):
        with mg.kernels.threads(count):
            a = numbers(rng, 210, 210, np.float64)
            expected = a @ a
            np.testing.assert_allclose(packed.matmul(a, a.T.copy().T, out=a), expected, rtol=1e-10)
    h = numbers(rng, 4, 4, np.float64)
    with pytest.raises(ValueError, match="packed"):
        packed.times(h, packed.prepare(h), h)


def test_what_is_no_product_is_refused():
    for out in (None, np.ones((2, 5))):
        with pytest.raises(ValueError, match="mismatch in its core dimension"):
            packed.matmul(np.ones((2, 3)), np.ones((4, 5)), out=out)
    with pytest.raises(ValueError, match="mismatch in its core dimension"):
        packed.matmul(np.ones((2, 3)), np.ones((3, 4)), out=np.ones((2, 5)))
    with pytest.raises(ValueError, match="packed"):
        packed.times(np.ones((2, 3)), packed.prepare(np.ones((3, 4), np.float32)), np.ones((2, 4)))
    with pytest.raises(TypeError, match="int64 is neither float32 nor float64"):
        packed.prepare(np.ones((3, 4), int))


def test_a_read_only_out_is_not_written():
    a, out = np.ones((3, 3)), np.zeros((3, 3))
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        packed.matmul(a, a, out=out)
    with pytest.raises(ValueError, match="out is read-only"):
        packed.times(a, packed.prepare(a), out)
    assert not out.any()


def test_other_numbers_are_left_to_numpy():
    a, b = np.arange(6).reshape(2, 3), np.arange(12).reshape(3, 4)
    assert np.array_equal(packed.matmul(a, b), a @ b)
    assert np.array_equal(packed.matmul(a.astype(np.float32), b.astype(np.float64)), a @ b)


def test_python_threads_at_the_same_time():
    """Each gets the right products, although all share one pool."""
    rng = np.random.default_rng(6)
    pairs = [(numbers(rng, 210, 210, np.float32), numbers(rng, 210, 210, np.float32)) for _ in range(4)]
    expected = [packed.matmul(a, b) for a, b in pairs]
    wrong = []

    def work(a, b, c):
        wrong.extend(i for i in range(30) if not np.array_equal(packed.matmul(a, b), c))

    with mg.kernels.threads(2):
        threads = [threading.Thread(target=work, args=(*pair, c)) for pair, c in zip(pairs, expected, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


FORK = """
import os, signal, numpy as np, minigrad as mg
from minigrad.kernels import packed
a = np.random.default_rng(0).standard_normal((210, 210))
mg.kernels.threads(2)
before = packed.matmul(a, a)
child = os.fork()
if child == 0:
    signal.alarm(60)
    os._exit(0 if np.array_equal(packed.matmul(a, a), before) else 1)
assert np.array_equal(packed.matmul(a, a), before)
print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def python(code, **environment):
    run = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    return subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=120, env=os.environ | environment)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_a_forked_child_computes_with_threads_of_its_own():
    done = python(FORK)
    assert done.stdout.strip() == "child 0", done.stderr


@pytest.mark.slow
def test_it_compiles_in_ten_seconds_of_work(tmp_path):
    code = """
import time, numpy as np
from minigrad.kernels import packed
a = np.ones((8, 8), np.float32)
packed.matmul(a, a)
print(time.process_time())
"""
    cold, warm = (float(python(code, NUMBA_CACHE_DIR=str(tmp_path)).stdout) for _ in range(2))
    assert cold <= 10
    assert warm <= cold / 2  # it was found in the cache


def test_the_rule_knows_shapes_and_threads():
    one = {"dtype": np.float32, "blas_threads": 1}
    assert packed.wins(128, 784, 512, False, **one)
    assert packed.wins(64, 64, 64, True, **one)
    assert not packed.wins(64, 64, 64, False, **one)  # BLAS is as fast
    assert not packed.wins(1, 512, 2000, True, **one)  # a single row
    assert not packed.wins(8, 8, 8, True, **one)
    assert not packed.wins(128, 784, 512, False, np.int64)
    assert not packed.wins(128, 784, 512, False, np.dtype(">f4"))
    assert not packed.wins(512, 784, 8, False, np.float32)
    assert packed.wins(512, 784, 8, False, np.float64)
    assert not packed.wins(128, 784, 512, False, np.float32, blas_threads=2)
    with mg.kernels.threads(2):
        assert not packed.wins(256, 256, 256, False, np.float32, blas_threads=2)  # too small to wake a thread for
        assert packed.wins(128, 784, 512, False, np.float32, blas_threads=2)
        assert not packed.wins(128, 128, 128, False, np.float32, blas_threads=2)  # too small for two of ours
    assert isinstance(packed.wins(128, 784, 512, False, np.float32), bool)


def test_threads_are_a_setting_of_the_process():
    with mg.kernels.threads(3):
        assert mg.kernels.pool.count() == 3
        mg.kernels.threads(2)
        assert mg.kernels.pool.count() == 2
    assert mg.kernels.pool.count() == 1
    with pytest.raises(ValueError, match="at least 1 thread is needed, not 0"):
        mg.kernels.threads(0)
    for number in (True, 1.5, "2"):
        with pytest.raises(TypeError, match="is not a number of threads"):
            mg.kernels.threads(number)


def test_the_rule_is_read_without_numba():
    code = "from minigrad.kernels.packed import wins; wins(8, 8, 8, False, 'f')"
    assert python(f"import sys; {code}; print('numba' in sys.modules)").stdout.strip() == "False"


def test_the_room_is_400_lines_and_alone_with_llvmlite():
    room = Path(packed.__file__).parent
    assert sum(len(file.read_text(encoding="utf-8").splitlines()) for file in room.glob("*.py")) <= 400
    for file in (ROOT / "minigrad").rglob("*.py"):
        assert file.parent == room or "llvmlite" not in file.read_text(encoding="utf-8"), file
