"""Jacobians between nodes of a trace, against those of functions, and as factors of each other."""

import numpy as np
import pytest

import minigrad as mg
from layers import LSTM, BatchNorm, Dense, Residual, Sequential


def test_of_every_net_by_its_input(net, tolerance):
    """Each row is the gradient of one output."""
    trace = mg.trace(net.loss)
    y = next(edge.input for edge in trace.edges() if edge.input.op == "add")  # what the last layer adds its bias to
    found = trace.jacobian(y, net.x)
    assert found.shape == (y.value.size, net.x.size)
    closed = mg.trace(net.loss, expand=False)
    source = closed.edges()[0].input
    whole = closed.jacobian(source, net.x)
    np.testing.assert_allclose(found, whole, rtol=0, atol=10 * tolerance * np.abs(whole).max())


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_the_jacobian_of_the_function(seed):
    rng = np.random.default_rng(seed)
    net = Sequential(Dense(3, 4, "tanh", rng=rng), BatchNorm(4), Residual(Dense(4, 4, "gelu", rng=rng)))
    x = rng.normal(size=(5, 3))
    y = net(leaf := mg.tensor(x, requires_grad=True))
    expected = mg.jacobian(net, x).reshape(20, 15)
    np.testing.assert_allclose(mg.trace(mg.sum(mg.square(y))).jacobian(y, leaf), expected, rtol=1e-10, atol=1e-13)
    w = net.parameters()[0]
    by_w = np.array([mg.grad(y, w, np.eye(1, 20, i).reshape(5, 4))[0].data.ravel() for i in range(20)])
    np.testing.assert_allclose(mg.trace(mg.sum(mg.square(y))).jacobian(y, w), by_w, rtol=1e-10, atol=1e-13)


def layered(depth, width=4, activation="tanh", init="xavier_uniform"):
    rng = np.random.default_rng(0)
    x = mg.tensor(rng.normal(size=(3, width)), requires_grad=True, name="x")
    h, layers = x, [Dense(width, width, activation, init=init, rng=rng) for _ in range(depth)]
    states = [x]
    for layer in layers:
        h = layer(h)
        states.append(h)
    return mg.trace(mg.mean(mg.square(h))), states, layers


def test_the_product_over_layers_is_the_jacobian_end_to_end():
    trace, states, layers = layered(6)
    for sample in range(3):
        product = np.eye(4)
        for below, above, layer in zip(states, states[1:], layers, strict=False):
            step = trace.jacobian(above, below, sample=sample)
            by_hand = np.diag(1 - above.data[sample] ** 2) @ layer.weight.data.T
            np.testing.assert_allclose(step, by_hand, rtol=1e-12)
            product = step @ product
        np.testing.assert_allclose(trace.jacobian(states[-1], states[0], sample), product, rtol=1e-10, atol=1e-15)


def test_singular_values_of_an_orthogonal_linear_net_are_1():
    trace, states, _ = layered(5, activation=None, init="orthogonal")
    values = np.linalg.svd(trace.jacobian(states[-1], states[0], sample=1), compute_uv=False)
    np.testing.assert_allclose(values, 1, rtol=1e-12)


def test_sigmoid_layers_shrink_everything():
    trace, states, _ = layered(10, width=16, activation="sigmoid")
    one = np.linalg.svd(trace.jacobian(states[1], states[0], sample=0), compute_uv=False)
    all_ten = np.linalg.svd(trace.jacobian(states[-1], states[0], sample=0), compute_uv=False)
    assert 0.2 < one[0] < 1
    assert 1e-8 < all_ten[0] < 1e-3


def test_a_residual_block_is_the_identity_and_its_body():
    rng = np.random.default_rng(0)
    dense = Dense(4, 4, "tanh", rng=rng)
    x = mg.tensor(rng.normal(size=(3, 4)), requires_grad=True)
    trace = mg.trace(mg.sum(y := Residual(dense)(x)))
    body = mg.tanh(x @ dense.weight + dense.bias)
    alone = mg.trace(mg.sum(body)).jacobian(body, x, sample=2)
    np.testing.assert_allclose(trace.jacobian(y, x, sample=2), np.eye(4) + alone, rtol=1e-12)


def test_a_step_of_an_lstm_takes_h_and_c_together():
    rng = np.random.default_rng(0)
    hidden = 3
    trace = mg.trace(mg.sum(mg.square(LSTM(2, hidden, rng=rng)(rng.normal(size=(4, 6, 2))))))

    def state(t):
        return [f"h[{t}]", f"c[{t}]"]

    step = trace.jacobian(state(3), state(2), sample=1)
    assert step.shape == (2 * hidden, 2 * hidden)
    product = trace.jacobian(state(5), state(4), 1) @ trace.jacobian(state(4), state(3), 1) @ step
    np.testing.assert_allclose(trace.jacobian(state(5), state(2), 1), product, rtol=1e-10, atol=1e-16)
    (kept,) = [edge for edge in trace.edges(into="c[2]") if edge.output.op == "multiply"]
    np.testing.assert_allclose(step[hidden:, hidden:], np.diag(kept.local.diagonal[1]), rtol=1e-12)  # δc ⊙ f
    np.testing.assert_array_equal(trace.jacobian(state(3), state(3), 1), np.eye(2 * hidden))
    back = trace["h[5]"].grad[1] @ trace.jacobian("h[5]", state(2), sample=1)
    np.testing.assert_allclose(back[:hidden], trace["h[2]"].grad[1], rtol=1e-10)  # the whole gradient of h[2]


def test_many_units_are_taken_in_portions():
    x = mg.tensor(np.random.default_rng(3).normal(size=(100, 201)), requires_grad=True)
    y = mg.tanh(x)
    expected = np.diag(1 - y.data[7] ** 2)
    np.testing.assert_allclose(mg.trace(mg.sum(y)).jacobian(y, x, sample=7), expected, rtol=1e-12)


def test_samples_are_counted_from_the_end_too():
    trace, states, _ = layered(2)
    np.testing.assert_array_equal(trace.jacobian(states[2], states[0], -1), trace.jacobian(states[2], states[0], 2))


def test_without_dependence_the_jacobian_is_0():
    x = mg.tensor([1.0, 2.0], requires_grad=True, name="x")
    a, b = mg.tanh(x), mg.sin(x)
    trace = mg.trace(mg.sum(a * b))
    np.testing.assert_array_equal(trace.jacobian(a, b), np.zeros((2, 2)))
    np.testing.assert_array_equal(trace.jacobian(x, a), np.zeros((2, 2)))


@pytest.mark.parametrize("last", [lambda h: h, lambda h: np.flip(h), lambda h: h + np.ones((3, 2), np.float32)])
def test_what_underflows_in_float32_is_not_0(last):
    """The gradient is, which the backward walk found in float32, but not the derivative."""
    x = h = mg.tensor([1.0, 2.0], requires_grad=True, dtype=np.float32, name="x")
    for _ in range(20):
        h = mg.tanh(h) * np.float32(1e-5)
    y = last(h)
    trace = mg.trace(mg.sum(y))
    assert trace[x].norm == 0
    exact = 1e-100 * (1 - np.tanh([1.0, 2.0]) ** 2)  # tanh' is 1 at all other steps
    jacobian = trace.jacobian(y, x)
    assert jacobian.dtype == np.float64
    np.testing.assert_allclose(np.max(jacobian, axis=0), exact, rtol=1e-5)
    (part,) = trace.by_path_length(x).values()
    (path,) = trace.paths(x)
    np.testing.assert_array_equal(part, path.contribution)
    np.testing.assert_allclose(part, jacobian.sum(axis=0), rtol=1e-12)


def test_with_other_derivatives():
    trace, states, layers = layered(1)
    changed = trace.what_if({"kind:activation": 0.5})
    np.testing.assert_allclose(changed.jacobian(states[1], states[0], 0), layers[0].weight.data.T / 2, rtol=1e-12)


def test_a_jacobian_that_there_is_not_is_a_sentence():
    trace, states, layers = layered(2)
    for sample in (3, -4):
        with pytest.raises(ValueError, match=f"no sample {sample} along the first axes of"):
            trace.jacobian(states[2], states[0], sample)
    with pytest.raises(ValueError, match=r"no sample 0 along the first axes of h2 \(3, 4\), W1 \(4, 4\)"):
        trace.jacobian(states[2], layers[0].weight, 0)
    with pytest.raises(KeyError):
        trace.jacobian("h9", states[0])
    c = mg.tensor([1.0], name="c")
    w = mg.tensor([1.0], requires_grad=True, name="w")
    y = w * c
    with pytest.raises(ValueError, match="c has no gradient: make it with requires_grad=True"):
        mg.trace(y, [1.0]).jacobian(y, c)
    large = mg.tensor(np.ones((40, 30)), requires_grad=True)
    y = mg.tanh(large)
    trace = mg.trace(mg.sum(y))
    with pytest.raises(ValueError, match=r"1200 × 1200 entries are too many .* mg.grad\(of, wrt, g\) .* sample="):
        trace.jacobian(y, large)
    assert trace.jacobian(y, large, sample=0).shape == (30, 30)
