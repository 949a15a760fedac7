"""Gradients through time: what each step adds to a weight, and what is left of a state later."""

import numpy as np
import pytest

import minigrad as mg
from layers import GRU, LSTM, RNN, Dense, Embedding, RNNCell, Sequential


@pytest.mark.parametrize("layer", [RNN, LSTM, GRU])
@pytest.mark.parametrize("expand", [True, False])
def test_the_steps_add_up_to_the_gradient(layer, expand):
    rng = np.random.default_rng(2)
    batch, steps, inputs, hidden = rng.integers(2, 7, size=4)
    net = layer(int(inputs), int(hidden), rng=rng)
    loss = mg.mean(mg.square(net(rng.normal(size=(batch, steps, inputs)))))
    loss.backward()
    trace = mg.trace(loss, expand=expand)
    for w in net.parameters():
        parts = trace.by_time(w)
        assert len(parts) == steps
        assert all(part.shape == w.shape for part in parts)
        np.testing.assert_allclose(sum(parts), w.grad, rtol=1e-12, atol=1e-15)
    assert not trace.by_time(net.layers[0].w_hidden)[0].any()  # the state before the first step is 0


def test_each_step_is_that_of_the_textbook():
    """∂L/∂W = Σ hₜ₋₁ᵀ · δₜ with δₜ = (δₜ₊₁ · Wᵀ) ⊙ φ'(zₜ)."""
    rng = np.random.default_rng(2)
    steps, hidden = 6, 4
    net = RNN(3, hidden, rng=rng)
    x = rng.normal(size=(5, steps, 3))
    w_input, w_hidden, _ = (p.data for p in net.parameters())
    states = [np.zeros((5, hidden))]
    for t in range(steps):
        states.append(np.tanh(x[:, t] @ w_input + states[-1] @ w_hidden))
    g = np.ones((5, hidden))
    expected = []
    for t in reversed(range(steps)):
        delta = g * (1 - states[t + 1] ** 2)
        expected.insert(0, states[t].T @ delta)
        g = delta @ w_hidden.T
    parts = mg.trace(mg.sum(net(x))).by_time(net.layers[0].w_hidden)
    for part, by_hand in zip(parts, expected, strict=True):
        np.testing.assert_allclose(part, by_hand, rtol=1e-10, atol=1e-14)


def test_the_steps_are_printed_as_a_table():
    rng = np.random.default_rng(2)
    net = RNN(3, 4, rng=rng)
    parts = mg.trace(mg.sum(net(rng.normal(size=(5, 100, 3))))).by_time(net.layers[0].w_hidden)
    head, *rows = str(parts).split("\n")
    assert head.split() == ["step", "‖part‖", "share", "of", "∂L/∂W2"]
    assert [row.split()[0] for row in rows] == [*map(str, range(30)), "…", *map(str, range(70, 100))]
    assert rows[-1].split()[1] == f"{np.linalg.norm(parts[-1]):.2e}"


def test_a_loop_over_cells_is_in_order_of_time_too():
    rng = np.random.default_rng(0)
    cell, h = RNNCell(1, 2, rng=rng), None
    cell.bias.data += 0.5
    for x in ([[1.0]], [[10.0]], [[100.0]]):
        h = cell(np.array(x) * 0.01, h)
    trace = mg.trace(mg.sum(h))
    parts = trace.by_time(cell.w_input)
    biases = trace.by_time(cell.bias)  # w_input gets xₜ·δₜ, the bias δₜ
    for x, part, delta in zip([0.01, 0.1, 1.0], parts, biases, strict=True):
        np.testing.assert_allclose(part[0], x * delta, rtol=1e-12)


@pytest.mark.parametrize(("scale", "low", "high"), [(0.7, 1e-8, 1e-3), (1.0, 1e-5, 1e-1), (1.4, 1e-2, 1e1)])
def test_early_steps_vanish_or_not_with_the_spectral_radius(scale, low, high):
    rng = np.random.default_rng(1)
    net = RNN(4, 32, rng=rng)
    net.layers[0].w_hidden.data *= scale  # it was orthogonal: its spectral radius is now `scale`
    h = net(rng.normal(size=(16, 40, 4)))
    parts = mg.trace(mg.mean(mg.square(Dense(32, 1, rng=rng)(h)))).by_time(net.layers[0].w_hidden)
    assert low < np.linalg.norm(parts[-21]) / np.linalg.norm(parts[-1]) < high


# What is left of a state


def per_sample(trace, of, wrt):
    return [trace.jacobian(of, wrt, sample=i) for i in range(trace[of].shape[0])]


@pytest.mark.parametrize("layer", [RNN, LSTM, GRU])
def test_lag_matrix_is_made_of_jacobians(layer):
    rng = np.random.default_rng(3)
    batch, steps, hidden = 3, 5, 4
    net = layer(2, hidden, rng=rng)
    trace = mg.trace(mg.sum(mg.square(net(rng.normal(size=(batch, steps, 2))))))
    lags = trace.lag_matrix("h[*]")
    assert lags.shape == (steps, steps)
    for t in range(steps):
        for k in range(steps):
            norms = [np.linalg.norm(jacobian) for jacobian in per_sample(trace, f"h[{t}]", f"h[{k}]")]
            np.testing.assert_allclose(lags[t, k], np.mean(norms) / np.sqrt(hidden), rtol=1e-12)
    np.testing.assert_array_equal(np.diag(lags), 1)
    assert not np.triu(lags, 1).any()


def test_an_orthogonal_linear_rnn_keeps_every_state():
    rng = np.random.default_rng(3)
    w = mg.tensor(np.linalg.qr(rng.normal(size=(4, 4)))[0], requires_grad=True)
    h, states = mg.tensor(rng.normal(size=(3, 4))), []
    for _ in range(6):
        h = h @ w
        states.append(h)
    np.testing.assert_allclose(mg.trace(mg.sum(h)).lag_matrix(states), np.tril(np.ones((6, 6))), rtol=1e-12)


@pytest.mark.parametrize(("scale", "low", "high"), [(0.7, 0, 1e-6), (1.0, 1e-6, 1e-2), (1.4, 1e-2, 10)])
def test_what_is_left_of_the_first_state(scale, low, high):
    rng = np.random.default_rng(1)
    net = RNN(4, 16, rng=rng)
    net.layers[0].w_hidden.data *= scale
    lags = mg.trace(mg.sum(net(rng.normal(size=(4, 30, 4))))).lag_matrix("h[*]")
    assert low < lags[-1, 0] < high


def test_many_units_are_taken_in_portions():
    a = mg.tensor(np.random.default_rng(3).normal(size=(100, 201)), requires_grad=True)
    b = mg.tanh(a)
    lags = mg.trace(mg.sum(b)).lag_matrix([a, b])
    slopes = np.sqrt(np.mean(np.square(1 - b.data**2), axis=1))
    np.testing.assert_allclose(lags, [[1, 0], [np.mean(slopes), 1]], rtol=1e-12)


def test_the_states_of_two_sequences_are_not_mixed():
    """Neither of two models that have the same path, nor of one that reads two sequences."""
    rng = np.random.default_rng(0)
    first, second = RNN(3, 4, rng=rng), RNN(3, 4, rng=rng)
    xs = rng.normal(size=(2, 5, 2, 3))
    for other in (first, second):
        trace = mg.trace(mg.mse(first(xs[0]), other(xs[1])))
        with pytest.raises(ValueError, match=r"lag_matrix: h\[\*\] are the states of several sequences; give a list"):
            trace.lag_matrix("h[*]")
        states = trace["h[*]"]
        lags = trace.lag_matrix(states[: len(states) // 2])
        np.testing.assert_allclose(lags, mg.trace(mg.sum(first(xs[0]))).lag_matrix("h[*]"), rtol=1e-12)


def test_layers_are_told_apart_by_their_path():
    rng = np.random.default_rng(0)
    net = Sequential(Embedding(5, 3, rng=rng), LSTM(3, 4, layers=2, rng=rng))
    trace = mg.trace(mg.sum(net(np.array([[0, 3, 1], [2, 2, 4]]))))
    message = r"h\[\*\] are the states of 2 layers; say layers.1.layers.0/h\[\*\] or layers.1.layers.1/h\[\*\]"
    for ambiguous in ("h[*]", "lstm/h[*]"):
        with pytest.raises(ValueError, match=message):
            trace.lag_matrix(ambiguous)
    assert trace.lag_matrix("layers.1.layers.0/h[*]").shape == (3, 3)
    assert trace.lag_matrix("layers.1.layers.1/c[*]").shape == (3, 3)


def test_a_lag_matrix_that_there_is_not_is_a_sentence():
    rng = np.random.default_rng(0)
    trace = mg.trace(mg.sum(RNN(2, 3, rng=rng)(np.ones((2, 4, 2)))))
    with pytest.raises(KeyError, match=r"nothing in this trace is called 'c\[\*\]'"):
        trace.lag_matrix("c[*]")
    with pytest.raises(ValueError, match=r"states must all be \(batch, n\), not \(\) and \(2, 3\)"):
        trace.lag_matrix(["h[0]", trace[-1]])
    with pytest.raises(ValueError, match=r"'h\[0\]' is one value; give a pattern such as 'h\[\*\]', or a list"):
        trace.lag_matrix("h[0]")
    empty = mg.trace(mg.sum(RNN(2, 4, rng=0)(np.zeros((0, 3, 2)))))
    with pytest.raises(ValueError, match=r"there is no sample, h\[0\] is empty"):
        empty.lag_matrix("h[*]")
    no_units = mg.tensor(np.zeros((2, 0)), requires_grad=True, name="h[0]")
    with pytest.raises(ValueError, match=r"there is no unit, h\[0\] is empty"):
        mg.trace(mg.sum(mg.tanh(no_units))).lag_matrix("h[*]")


def test_states_are_found_by_the_name_of_the_op_that_computed_them():
    layer = LSTM(2, 3, rng=0)
    trace = mg.trace(mg.sum(layer(np.random.default_rng(1).normal(size=(4, 5, 2)))))
    np.testing.assert_array_equal(trace.lag_matrix("lstm/h[*]"), trace.lag_matrix("h[*]"))
    assert trace["lstm/c[2]"] == trace["c[2]"]


@pytest.mark.parametrize(("size", "rate"), [(1.0, 1e-100), (1e-250, 1e80)])
def test_lags_whose_squares_would_underflow_or_overflow(size, rate):
    h = mg.tensor(np.full((2, 3), size), requires_grad=True)
    w = mg.tensor(rate * np.eye(3))
    states = [h]
    for _ in range(3):
        states.append(states[-1] @ w)
    lags = mg.trace(mg.sum(states[-1])).lag_matrix(states)
    np.testing.assert_allclose(lags[3], rate ** np.arange(3.0, -1, -1), rtol=1e-14)


def test_lags_of_a_net_in_float32_are_not_cut_off_at_its_smallest_number():
    net = RNN(2, 3, rng=0).astype(np.float32)
    net.layers[0].w_hidden.data = 0.1 * np.eye(3)
    x = np.zeros((2, 100, 2), np.float32)
    lags = mg.trace(mg.sum(net(x))).lag_matrix("h[*]")
    np.testing.assert_allclose(np.log10(lags[-1]), np.arange(-99.0, 1), rtol=1e-6, atol=1e-12)
