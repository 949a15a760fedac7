"""The kernels of cross_entropy equal their NumPy lines and the definition, for classes and for distributions."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.networks import cross_entropy, row_losses, row_losses_backward

pytest.importorskip("numba")

every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
every_kind = pytest.mark.parametrize("kind", ["classes", "distributions"])
SHAPES = [(0, 3), (1, 1), (1, 2), (5, 10), (3, 4, 7), (33, 32), (9, 33), (7, 65), (4, 1000), (2, 5000), (500, 10)]


def close(dtype):
    return {"rtol": 1e-12, "atol": 1e-13} if dtype == np.float64 else {"rtol": 1e-5, "atol": 1e-6}


def examples(shape, dtype, kind, seed=0):
    rng = np.random.default_rng(seed)
    logits = (rng.normal(size=shape) * 5).astype(dtype)
    if kind == "classes":
        return logits, rng.integers(0, shape[-1], shape[:-1])
    t = rng.random(shape) * (rng.random(shape) < 0.7)
    return logits, t.astype(dtype)


def there_and_back(logits, labels, kernels, reduction="mean"):
    """The loss and the gradients, including that of the labels if these are probabilities."""
    x = mg.tensor(logits, dtype=logits.dtype, requires_grad=True)
    t = mg.tensor(labels, dtype=labels.dtype, requires_grad=True) if labels.dtype.kind == "f" else labels
    with mg.kernels.use(kernels):
        loss = cross_entropy(x, t, reduction=reduction)
        loss.backward(np.linspace(-1, 1, loss.size).reshape(loss.shape))
    return [loss.data, x.grad] + ([t.grad] if t is not labels else [])


@every_dtype
@every_kind
@pytest.mark.parametrize("reduction", ["sum", "none"])
@pytest.mark.parametrize("shape", SHAPES)
def test_as_the_lines_and_the_definition(shape, reduction, kind, dtype):
    logits, labels = examples(shape, dtype, kind)
    logits.flags.writeable = labels.flags.writeable = False
    ours = there_and_back(logits, labels, "numba", reduction)
    for others in ("numpy", "definition"):
        for mine, theirs in zip(ours, there_and_back(logits, labels, others, reduction), strict=True):
            assert mine.dtype == dtype
            np.testing.assert_allclose(mine, theirs, **close(dtype))
    for mine, again in zip(ours, there_and_back(logits, labels, "numba", reduction), strict=True):
        np.testing.assert_array_equal(mine, again)


@every_dtype
@every_kind
def test_the_mean_equals_numpys(kind, dtype):
    logits, labels = examples((77, 12), dtype, kind)
    for mine, line in zip(*(there_and_back(logits, labels, k) for k in ("numba", "numpy")), strict=True):
        np.testing.assert_allclose(mine, line, **close(dtype))


@every_dtype
@every_kind
def test_strided_and_broadcast_arrays(kind, dtype):
    logits, labels = examples((20, 6), dtype, kind)
    wide = np.repeat(np.repeat(logits, 2, axis=0), 3, axis=1)[::2, ::3]
    tall = np.repeat(labels, 2, axis=0)[::2]
    with mg.kernels.use("numba"):
        for x, t in ((wide, tall), (np.asfortranarray(logits), labels), (logits[::-1], labels[::-1])):
            for mine, line in zip(row_losses(x, t), row_losses.line(x, t), strict=True):
                np.testing.assert_allclose(mine, line, **close(dtype))
            p = row_losses.line(x, t)[1]
            for g in (np.asarray(dtype(0.3)), np.broadcast_to(dtype(2), 20), np.arange(20, dtype=dtype)[::-1]):
                mine, line = row_losses_backward(p, g, t), row_losses_backward.line(p, g, t)
                np.testing.assert_allclose(mine, line, **close(dtype))


@every_dtype
@every_kind
@pytest.mark.parametrize("columns", [4, 100])
def test_numbers_at_the_ends(columns, kind, dtype):
    largest = np.finfo(dtype).max
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(8, columns)).astype(dtype)
    rows[0, 1], rows[1, 2], rows[2, 0], rows[2, 3] = largest, -largest, largest, -largest
    rows[3, 1], rows[4, 2], rows[5, 0], rows[6] = np.inf, -np.inf, np.nan, 1e-40
    labels = rng.integers(0, 4, 8)
    if kind == "distributions":
        labels = np.eye(columns, dtype=dtype)[labels]
    with np.errstate(all="ignore"):
        for mine, line in zip(*(there_and_back(rows, labels, k, "none") for k in ("numba", "numpy")), strict=True):
            np.testing.assert_allclose(mine, line, **close(dtype))
    assert np.isfinite(there_and_back(rows[:3], labels[:3], "numba", "none")[0]).all()  # and without a warning


@every_dtype
@every_kind
@pytest.mark.parametrize("columns", [4, 100])
def test_what_all_logits_have_in_common_changes_no_loss(columns, kind, dtype):
    labels = np.arange(8) % 4
    if kind == "distributions":
        labels = np.eye(columns, dtype=dtype)[labels]
    for common in (100, 1e4, np.finfo(dtype).max):
        losses = there_and_back(np.full((8, columns), common, dtype), labels, "numba", "none")[0]
        np.testing.assert_allclose(losses, np.log(columns), rtol=4 * np.finfo(dtype).eps)


@every_dtype
def test_small_probabilities_keep_their_digits(dtype):
    logits = np.array([[0.0, -80.0, 30.0, -700.0]] * 200, dtype)
    with mg.kernels.use("numba"):
        losses, p = row_losses(logits, np.arange(200) % 4)
    exact = np.exp(logits[0].astype(np.longdouble) - 30)
    np.testing.assert_allclose(p[0], (exact / exact.sum()).astype(dtype), rtol=2e-6, atol=np.finfo(dtype).tiny)
    np.testing.assert_allclose(losses[:4], [30, 110, np.log1p(np.exp(-30)), 730], rtol=1e-6, atol=1e-7)


@every_kind
def test_labels_of_every_type(kind):
    logits, labels = examples((60, 10), np.float64, kind)
    expected = there_and_back(logits, labels, "numpy")
    for dtype in ("int8", "uint8", "int32", "uint64") if kind == "classes" else ("float32",):
        for mine, line in zip(there_and_back(logits, labels.astype(dtype), "numba"), expected, strict=False):
            np.testing.assert_allclose(mine, line, rtol=1e-6)
    if kind == "classes":
        labels[7] = 10
        with mg.kernels.use("numba"), pytest.raises(ValueError, match="labels run from 0 to 10, classes from 0 to 9"):
            cross_entropy(logits, labels)
