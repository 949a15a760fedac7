"""A local derivative is one linear map, however one looks at it: as a rule, matrix, diagonal or by its gains."""

import numpy as np
import pytest

import minigrad as mg
from layers import Dense


def edges_of(op, inputs, params):
    """The edges into the inputs of one call of an op."""
    xs = [mg.tensor(x, requires_grad=x.dtype.kind == "f") if isinstance(x, np.ndarray) else x for x in inputs]
    y = op(*xs, **params)
    trace = mg.trace(y, np.ones(y.shape), expand=False)
    return [edge for edge in trace.edges() if edge.output.vertex.op is op]


def test_every_view_of_a_derivative_is_the_same_map(op_example):
    op, inputs, params = op_example
    rng = np.random.default_rng(5)
    edges = edges_of(op, inputs, params)
    assert edges
    for edge in edges:
        local, x, y = edge.local, edge.input.value, edge.output.value
        matrix = local.todense()
        assert matrix.shape == local.shape == (y.size, x.size)
        g, v = rng.normal(size=y.shape), rng.normal(size=x.shape)
        np.testing.assert_allclose(local.vjp(g).ravel(), g.ravel() @ matrix, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(local.pullback()(2 * g).ravel(), 2 * g.ravel() @ matrix, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(local.jvp(v).ravel(), matrix @ v.ravel(), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(local.expected_gain, np.linalg.norm(matrix) / y.size**0.5, rtol=1e-12)
        exact = np.linalg.svd(matrix, compute_uv=False)
        np.testing.assert_allclose(local.max_gain, exact[0], rtol=1e-12, atol=1e-15)
        found = local.singular_values()
        assert np.all(np.diff(found) <= 0)
        copies = exact.size // found.size  # x·W has the singular values of W, once per row of x
        np.testing.assert_allclose(np.repeat(found, copies)[: exact.size], exact, rtol=1e-9, atol=1e-12)


def test_a_derivative_of_an_elementwise_op_is_a_diagonal(op_example):
    op, inputs, params = op_example
    for edge in edges_of(op, inputs, params):
        if edge.local.kind == "diagonal":
            assert edge.local.diagonal.shape == edge.output.shape
            contribution = edge.upstream * edge.local.diagonal
            np.testing.assert_allclose(edge.contribution.sum(), contribution.sum(), rtol=1e-12)
        else:
            assert edge.local.diagonal is None


def test_the_kind_of_each_local_derivative():
    x, w = mg.tensor(np.ones((4, 3)), requires_grad=True), mg.tensor(np.ones((3, 2)), requires_grad=True)
    kinds = {(e.output.op, e.slot): e.local.kind for e in mg.trace(mg.mean(mg.tanh(x @ w))).edges()}
    assert kinds == {("mean", 0): "linear", ("tanh", 0): "diagonal", ("matmul", 0): "matrix", ("matmul", 1): "matrix"}


def test_the_matrix_of_a_product_is_the_other_factor():
    x = mg.tensor(np.arange(12.0).reshape(4, 3), requires_grad=True)
    w = mg.tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    by_w, by_x = sorted(mg.trace(mg.sum(x @ w)).edges()[1:], key=lambda edge: -edge.slot)
    assert np.array_equal(by_x.local.matrix, w.data)
    assert np.array_equal(by_w.local.matrix, x.data)


def test_a_large_matrix_is_refused_and_the_way_around_it_named():
    x = mg.tensor(np.ones(1001), requires_grad=True)
    (edge,) = mg.trace(mg.sum(mg.cumsum(x))).edges(into=x)
    with pytest.raises(ValueError, match=r"1001 × 1001 is too large to write out: use \.vjp\(g\) and \.jvp\(v\)"):
        edge.local.todense()
    assert edge.local.vjp(np.ones(1001))[0] == 1001
    assert edge.local.jvp(np.ones(1001))[-1] == 1001


def test_a_product_with_the_matrix_is_as_fast_as_the_rule():
    x = mg.tensor(np.ones((500, 500)), requires_grad=True)
    edge = mg.trace(mg.sum(mg.tanh(x))).edges(into=x)[0]
    assert edge.local.shape == (250_000, 250_000)
    assert edge.local.max_gain == pytest.approx(1 - np.tanh(1) ** 2)
    assert edge.local.expected_gain == pytest.approx(1 - np.tanh(1) ** 2)


def test_a_broadcast_bias_has_the_gain_of_its_sum_over_the_batch():
    b = mg.tensor(np.zeros(3), requires_grad=True)
    edge = mg.trace(mg.sum(np.ones((16, 3)) + b)).edges(into=b)[0]
    np.testing.assert_allclose(edge.local.singular_values(), [4, 4, 4])


def test_gains_of_tiny_derivatives_are_not_zero():
    x = mg.tensor(np.full(4, 250.0), requires_grad=True, dtype=np.float32)
    edge = mg.trace(mg.sum(mg.sigmoid(-1.0 * x) * 1.0)).edges()[2]
    assert edge.output.op == "sigmoid"
    assert edge.local.expected_gain == 0 == edge.local.max_gain
    x = mg.tensor(np.full(4, 80.0), requires_grad=True, dtype=np.float32)
    edge = mg.trace(mg.sum(mg.sigmoid(-1.0 * x))).edges()[1]
    assert edge.local.expected_gain == pytest.approx(np.exp(-80), rel=1e-5)


def test_it_works_without_recording():
    x = mg.tensor([0.3, 0.4], requires_grad=True)
    local = mg.trace(mg.sum(mg.tanh(x))).edges(into=x)[0].local
    with mg.no_grad():
        np.testing.assert_allclose(local.jvp([1.0, 0.0]), [1 - np.tanh(0.3) ** 2, 0])


def test_a_value_that_was_changed_in_place_is_refused():
    layer = Dense(3, 2, "tanh")
    trace = mg.trace(mg.sum(layer(np.ones((4, 3)))))
    edge = trace.edges(into=layer.weight)[0]
    edge.local.vjp(edge.upstream)
    into_x = next(e for e in trace.edges() if e.output == edge.output)
    layer.weight.data *= 2
    for look in (lambda: edge.local.vjp(edge.upstream), lambda: into_x.local.matrix, lambda: edge.local.jvp(0)):
        with pytest.raises(mg.GraphError, match="changed in place"):
            look()


def test_a_matrix_is_in_float64_whatever_was_asked_before():
    x = mg.tensor([0.1, 0.2], requires_grad=True, dtype=np.float32)
    trace = mg.trace(mg.sum(mg.tanh(x)))
    first, local = (trace.edges(into=x)[0].local for _ in range(2))
    assert local.kind == "diagonal"
    assert local.diagonal.dtype == np.float32
    assert local.todense().dtype == first.todense().dtype == np.float64
    np.testing.assert_array_equal(local.todense(), first.todense())


def test_it_says_what_it_is():
    x = mg.tensor([0.0, 2.0], requires_grad=True)
    local = mg.trace(mg.sum(mg.sigmoid(x))).edges(into=x)[0].local
    assert repr(local) == "<∂sigmoid/∂x1 = σ(1−σ), diagonal, 2×2>"


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(
    "f", [mg.relu, mg.hard_tanh, lambda x: mg.maximum(x, 0.5), lambda x: mg.clip(x, -1, 1), mg.tanh]
)
def test_many_products_at_once_equal_each_alone_even_of_infinite_gradients(f):
    x = mg.tensor([-20.0, -0.5, 0.6, 20.0], requires_grad=True)
    (edge,) = mg.trace(f(x), np.ones(4)).edges(into=x)
    gs = [np.full(4, g) for g in (np.inf, -np.inf, np.nan, 2.0)]
    for one, together in zip(map(edge.local.vjp, gs), map(edge.local.pullback(), gs), strict=True):
        np.testing.assert_array_equal(together, one)
