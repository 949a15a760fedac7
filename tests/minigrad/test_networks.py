"""Losses, dropout and fused layers: formulas as loops, the kernel equal to its definition, no overflow."""

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.networks import running_moments

rng = np.random.default_rng(5)
ACTIVATIONS = ["sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "silu", "gelu", "softsign", "hard_tanh"]


def leaf(x, dtype=None):
    return mg.tensor(x, requires_grad=True, dtype=dtype)


def reduced(losses, reduction):
    return {"mean": np.mean, "sum": np.sum, "none": np.asarray}[reduction](losses)


# Cross-entropy


def cross_entropy_by_hand(logits, labels, reduction):
    rows = logits.reshape(-1, logits.shape[-1])
    losses = []
    for z, t in zip(rows, np.reshape(labels, (len(rows), -1)), strict=True):
        p = np.exp(z) / np.sum(np.exp(z))
        losses.append(-np.log(p[t[0]]) if t.dtype.kind in "iu" else -np.sum(t * np.log(p)))
    return reduced(np.reshape(losses, logits.shape[:-1]), reduction)


@pytest.fixture(params=["kernel", "definition"])
def way(request):
    """Both ways in which a fused op can run."""
    with mg.kernels.use("definition" if request.param == "definition" else "numpy"):
        yield request.param


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(4, 3), (3,), (2, 2, 3), (1, 2)], ids=str)
def test_cross_entropy_of_labels(agrees, way, shape, reduction):
    labels = rng.integers(0, shape[-1], shape[:-1])
    agrees(
        lambda z: mg.cross_entropy(z, labels, reduction),
        lambda z: cross_entropy_by_hand(z, labels, reduction),
        rng.normal(size=shape),
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_of_probabilities(agrees, way, reduction):
    t = rng.uniform(0.1, 1, (4, 3))  # rows need not sum to 1
    agrees(
        lambda z, t: mg.cross_entropy(z, t, reduction=reduction),
        lambda z, t: cross_entropy_by_hand(z, t, reduction),
        rng.normal(size=(4, 3)),
        t,
    )


@pytest.mark.parametrize(
    "labels", [[0, 2], np.array([0, 2], np.uint8), mg.tensor([0, 2], dtype=int)], ids=["list", "uint8", "Tensor"]
)
def test_labels_of_every_kind(dtype, close, way, labels):
    z = leaf([[1.0, 2.0, 3.0], [3.0, 1.0, 0.0]], dtype)
    loss = mg.cross_entropy(z, labels)
    loss.backward()
    assert loss.dtype == z.grad.dtype == dtype
    p = np.exp(z.data) / np.exp(z.data).sum(axis=1, keepdims=True)
    close(loss.data, -np.log(p[[0, 1], [0, 2]]).mean())
    close(z.grad, (p - np.array([[1, 0, 0], [0, 0, 1]])) / 2)


def test_cross_entropy_at_the_largest_numbers(dtype, way):
    largest = np.finfo(dtype).max
    z = leaf([[largest, -largest, 0.0], [1e4, -1e4, 0.0]], dtype)
    right, wrong = mg.cross_entropy(z, [0, 0], "none"), mg.cross_entropy(z, [1, 1], "none")
    assert np.array_equal(right.data, [0, 0])
    assert np.array_equal(wrong.data, np.array([largest, 2e4], dtype))
    assert np.array_equal(mg.grad(right, z, np.ones(2))[0].data, np.zeros((2, 3)))
    assert np.array_equal(mg.grad(wrong, z, np.ones(2))[0].data, [[1, -1, 0]] * 2)
    one_hot = np.array([[1, 0, 0], [1, 0, 0]], dtype)
    assert np.array_equal(mg.cross_entropy(z, one_hot, "none").data, [0, 0])
    assert np.array_equal(mg.grad(mg.cross_entropy(z, one_hot), z)[0].data, np.zeros((2, 3)))
    wrong = mg.cross_entropy(z, one_hot[:, [1, 0, 2]], "none")
    assert np.array_equal(mg.grad(wrong, z, np.ones(2))[0].data, [[1, -1, 0]] * 2)


def test_a_class_that_is_masked_out(way):
    z = leaf([[0.0, -np.inf, 0.0]])
    for labels in ([0], [[1.0, 0.0, 0.0]]):
        loss = mg.cross_entropy(z, labels)
        assert loss.item() == pytest.approx(math.log(2))
        assert np.array_equal(mg.grad(loss, z)[0].data, [[-0.5, 0, 0.5]])


# The other losses


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(4, 3), (3,), ()], ids=str)
def test_losses_of_predictions_and_targets(agrees, shape, reduction):
    y, t = rng.normal(size=shape), rng.uniform(0.1, 0.9, shape)
    signs = np.asarray(np.sign(rng.normal(size=shape)))
    agrees(lambda y, t: mg.mse(y, t, reduction), lambda y, t: reduced((y - t) ** 2, reduction), y, t)
    agrees(
        lambda z, t: mg.binary_cross_entropy_with_logits(z, t, reduction),
        lambda z, t: reduced(t * np.log1p(np.exp(-z)) + (1 - t) * np.log1p(np.exp(z)), reduction),
        y,
        t,
    )
    agrees(lambda y, t: mg.hinge(y, t, reduction), lambda y, t: reduced(np.maximum(0, 1 - t * y), reduction), y, signs)


def test_binary_cross_entropy_at_the_largest_numbers(dtype):
    largest = np.finfo(dtype).max
    z, t = leaf([largest, largest, -largest, -largest], dtype), leaf([1.0, 0.0, 1.0, 0.0], dtype)
    losses = mg.binary_cross_entropy_with_logits(z, t, "none")
    assert np.array_equal(losses.data, np.array([0, largest, largest, 0], dtype))
    by_z, by_t = mg.grad(losses, [z, t], np.ones(4), create_graph=True)
    assert np.array_equal(by_z.data, [0, 1, -1, 0])
    assert np.array_equal(by_t.data, -z.data)
    assert np.array_equal(mg.grad(by_z, z, np.ones(4))[0].data, [0, 0, 0, 0])


def test_binary_cross_entropy_of_a_certain_answer_is_exact():
    loss = mg.binary_cross_entropy_with_logits(np.array([40.0, -40.0]), np.array([1.0, 0.0]), "none")
    np.testing.assert_allclose(loss, np.exp(-40), rtol=1e-12)


def test_hinge_at_its_kink():
    y = leaf([1.0, -1.0, 0.5])
    mg.hinge(y, [1.0, -1.0, 1.0], "sum").backward()
    assert np.array_equal(y.grad, [0, 0, -1])


@pytest.mark.parametrize("kind", ["uint8", "uint64", "bool", "int8"])
@pytest.mark.parametrize("name", ["mse", "binary_cross_entropy_with_logits", "hinge"])
def test_targets_of_every_kind(name, kind):
    y, t = leaf([0.3, -0.6, 2.0]), np.array([1.0, 0.0, 1.0])
    (found,), (expected,) = (mg.grad(getattr(mg, name)(y, target), y) for target in (t.astype(kind), t))
    np.testing.assert_array_equal(found.data, expected.data)


@pytest.mark.parametrize("name", ["mse", "binary_cross_entropy_with_logits", "hinge", "cross_entropy"])
def test_losses_keep_float32(name):
    z = leaf(rng.normal(size=(3, 2)), "float32")
    t = [0, 1, 1] if name == "cross_entropy" else np.ones((3, 2), np.float32)
    for reduction in ("mean", "sum", "none"):
        loss = getattr(mg, name)(z, t, reduction)
        (g,) = mg.grad(loss, z, np.ones_like(loss.data), create_graph=True)
        assert loss.dtype == g.dtype == np.float32
        assert g.node.inputs[0].dtype == np.float32


# Dropout


def test_dropout_keeps_the_mean_and_drops_the_gradient_with_the_value(dtype):
    x = leaf(np.ones(10_000), dtype)
    y = mg.dropout(x, np.float64(0.25), rng=3)
    assert y.dtype == dtype
    assert set(np.unique(y.data)) == {dtype.type(0), dtype.type(1) / dtype.type(0.75)}
    assert abs(y.data.mean() - 1) < 0.03
    y.backward(np.ones(10_000))
    assert np.array_equal(x.grad, y.data)


def test_dropout_takes_its_random_numbers_from_where_it_is_told():
    x = np.ones(100)
    assert np.array_equal(mg.dropout(x, 0.5, rng=1), mg.dropout(x, 0.5, np.random.default_rng(1)))
    mg.seed(4)
    first = mg.dropout(x, 0.5)
    second = mg.dropout(x, 0.5)
    mg.seed(4)
    assert np.array_equal(mg.dropout(x, 0.5), first)
    assert not np.array_equal(first, second)
    assert np.array_equal(mg.dropout(x, 0), x)


# Fused layers


def dense_by_hand(x, w, b, activation):
    z = np.einsum("...i,io->...o", x, w) + (0 if b is None else b)
    return z if activation is None else getattr(mg, activation)(z)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(4, 3), (3,), (2, 2, 3), (0, 3)], ids=str)
def test_dense_agrees_with_numpy(agrees, way, shape, bias):
    x, w, b = rng.normal(size=shape), rng.normal(size=(3, 2)), rng.normal(size=2) if bias else None
    agrees(lambda *xs: mg.dense(*xs), lambda *xs: dense_by_hand(*xs, None), x, w, b)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dense_with_an_activation(agrees, way, activation):
    x, w, b = rng.normal(size=(4, 3)), rng.normal(size=(3, 2)), rng.normal(size=2)
    x[0] = 0
    agrees(lambda *xs: mg.dense(*xs, activation), lambda *xs: dense_by_hand(*xs, activation), x, w, b + 0.13)
    agrees(
        lambda *xs: mg.dense(*xs, None, activation=activation),
        lambda *xs: dense_by_hand(*xs, None, activation),
        x[1:],
        w,
    )


def test_a_dead_unit_stops_an_infinite_gradient(way):
    x = leaf([[-1.0], [4.0]])
    with np.errstate(divide="ignore"):
        mg.sqrt(mg.dense(x, np.ones((1, 1)), None, "relu")).sum().backward()
    assert np.array_equal(x.grad, [[0], [0.25]])


def test_batch_norm_agrees_with_numpy(agrees, way):
    def by_hand(x, gamma, beta):
        return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-3) * gamma + beta

    xs = rng.normal(size=(5, 3)), rng.uniform(0.5, 2, 3), rng.normal(size=3)
    agrees(lambda *xs: mg.batch_norm(*xs, eps=1e-3), by_hand, *xs)
    agrees(lambda *xs: mg.batch_norm(*xs, 1e-3), by_hand, *xs, order=1)


@pytest.mark.parametrize("kernels", ["numpy", "auto"])
def test_the_moments_of_a_long_float32_batch_are_summed_in_float64(kernels):
    x = np.random.default_rng(0).normal(1000, 1, (100_000, 8)).astype(np.float32)
    mean, variance, zero = x.mean(axis=0, dtype=np.float64), x.var(axis=0, dtype=np.float64), np.zeros(8, np.float32)
    with mg.kernels.use(kernels):
        y = mg.batch_norm(x, zero + 1, zero)
        followed = running_moments(x, zero, zero, 1.0)
    np.testing.assert_allclose(followed, [mean, variance * 1e5 / (1e5 - 1)], rtol=2e-7)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, (x - mean) / np.sqrt(variance + 1e-5), atol=4e-5)  # float32 near 1000: steps of 6e−5


@pytest.mark.parametrize("kernels", ["numpy", "auto"])
def test_the_gradients_of_gamma_and_beta_over_a_long_float32_batch_lose_no_digits(kernels):
    x = np.random.default_rng(0).normal(size=(50_000, 2)).astype(np.float32)
    g = np.where(x > 0, np.float32(0.1), 0)
    gamma, beta = leaf(np.ones(2), np.float32), leaf(np.zeros(2), np.float32)
    with mg.kernels.use(kernels):
        mg.batch_norm(x, gamma, beta).backward(g)
    normal = (x - x.mean(axis=0, dtype=float)) / np.sqrt(x.var(axis=0, dtype=float) + 1e-5)
    np.testing.assert_allclose(beta.grad, g.sum(axis=0, dtype=float), rtol=2e-6)  # added one after the other: 3e-5 off
    np.testing.assert_allclose(gamma.grad, (g * normal).sum(axis=0, dtype=float), rtol=2e-6)


def test_what_is_constant_over_the_batch_normalises_to_beta(dtype, way):
    x, gamma, beta = leaf(np.full((4, 2), 3.0), dtype), leaf([2.0, 2.0], dtype), leaf([0.5, 0.0], dtype)
    y = mg.batch_norm(x, gamma, beta)
    y.backward(rng.normal(size=(4, 2)))
    assert np.array_equal(y.data, [[0.5, 0]] * 4)
    assert np.all(np.isfinite(x.grad))


WRONG = [
    (
        lambda: mg.mse(leaf([1.0, 2.0]), leaf([[1.0], [2.0]])),
        "mse: predictions (2,) and targets (2, 1) must have one shape",
    ),
    (lambda: mg.hinge(leaf([1.0]), 1.0), "hinge: predictions (1,) and targets () must have one shape"),
    (
        lambda: mg.binary_cross_entropy_with_logits(leaf([[1.0]]), [1.0]),
        "binary_cross_entropy_with_logits: predictions (1, 1) and targets (1,) must have one shape",
    ),
    (
        lambda: mg.cross_entropy(leaf(np.ones((2, 3))), [0, 3]),
        "cross_entropy: labels run from 0 to 3, classes from 0 to 2",
    ),
    (
        lambda: mg.cross_entropy(leaf(np.ones((2, 3))), [-1, 0]),
        "cross_entropy: labels run from -1 to 0, classes from 0 to 2",
    ),
    (
        lambda: mg.cross_entropy(leaf(np.ones((2, 3))), [0.0, 1.0]),
        "cross_entropy: logits (2, 3) need integer labels of shape (2,) or probabilities of shape (2, 3), "
        "not float64 of shape (2,)",
    ),
    (
        lambda: mg.cross_entropy(leaf(np.ones((2, 3))), np.eye(2, 3, dtype=int)),
        "cross_entropy: logits (2, 3) need integer labels of shape (2,) or probabilities of shape (2, 3), "
        "not int64 of shape (2, 3)",
    ),
    (
        lambda: mg.cross_entropy(leaf(np.ones((2, 3))), [0, 1], "average"),
        "cross_entropy: reduction 'average' is not one of mean, sum, none",
    ),
    (lambda: mg.mse(leaf([1.0]), [1.0], reduction="max"), "mse: reduction 'max' is not one of mean, sum, none"),
    (lambda: mg.dropout(leaf([1.0]), 1.5), "dropout: p must lie in [0, 1], not 1.5"),
    (lambda: mg.dropout(leaf([1.0]), -0.1), "dropout: p must lie in [0, 1], not -0.1"),
    (lambda: mg.dropout(leaf([1.0]), math.nan), "dropout: p must lie in [0, 1], not nan"),
    (
        lambda: mg.dense(leaf(np.ones((32, 64))), np.ones((32, 10)), None),
        "dense: input (32, 64) and weight (32, 10) must be (..., inputs), (inputs, outputs)",
    ),
    (
        lambda: mg.dense(leaf(np.ones((2, 3))), np.ones((3, 4)), np.ones(1)),
        "dense: bias (1,) must be (4,), one number per output",
    ),
    (
        lambda: mg.dense(leaf(np.ones((2, 3))), np.ones((3, 4)), None, "Tanh"),
        "dense: activation 'Tanh' is not one of sigmoid, tanh, relu, leaky_relu, elu, softplus, silu, gelu, softsign, "
        "hard_tanh",
    ),
    (
        lambda: mg.batch_norm(leaf(np.ones((2, 3))), np.ones(2), np.ones(3)),
        "batch_norm: input (2, 3), gamma (2,) and beta (3,) must be (batch, features), (features,) and (features,)",
    ),
    (
        lambda: mg.batch_norm(leaf(np.ones((0, 3))), np.ones(3), np.ones(3)),
        "batch_norm: input (0, 3), gamma (3,) and beta (3,) must be (batch, features), (features,) and (features,)",
    ),
    (
        lambda: mg.rnn(leaf(np.ones((2, 5, 3))), None, None, np.ones((4, 4)), np.ones(4)),
        "rnn: w_input must be (3, 4) for x (2, 5, 3) and 4 units, not ()",
    ),
    (
        lambda: mg.lstm(leaf(np.ones((2, 5, 3))), None, None, np.ones((3, 16)), np.ones((4, 16)), None),
        "lstm: bias must be (16,) for x (2, 5, 3) and 4 units, not ()",
    ),
]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_the_loss_of_arrays_is_an_array(way, reduction):
    assert type(mg.cross_entropy(np.ones((2, 3)), [0, 1], reduction)) is np.ndarray


@pytest.mark.parametrize(("call", "sentence"), WRONG, ids=[sentence for _, sentence in WRONG])
def test_the_sentence_of_a_wrong_call(way, call, sentence):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    assert str(caught.value) == sentence
