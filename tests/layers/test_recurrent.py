"""Recurrent layers: the fused ops equal their definitions, the layers equal their equations."""

import tracemalloc

import numpy as np
import pytest

import minigrad as mg
from layers import GRU, LSTM, RNN, Dense, GRUCell, LSTMCell, Module, RNNCell

BATCH, TIME, INPUTS, HIDDEN = 3, 5, 4, 6
OPS = {
    "lstm": (mg.lstm, 4, 2, {}),
    "rnn": (mg.rnn, 1, 1, {}),
    "rnn, relu": (mg.rnn, 1, 1, {"activation": "relu"}),
    "rnn, elu": (mg.rnn, 1, 1, {"activation": "elu"}),
    "rnn, gelu": (mg.rnn, 1, 1, {"activation": "gelu"}),
}
KINDS = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}
CELLS = {"RNN": RNNCell, "LSTM": LSTMCell, "GRU": GRUCell}


def arrays(gates, states, given, dtype=float, time=TIME):
    """x, the states (None unless given) and the three weights of one layer."""
    rng = np.random.default_rng(0)
    before = [rng.normal(size=(BATCH, HIDDEN)) if given else None for _ in range(states)]
    weights = [
        rng.normal(size=(INPUTS, gates * HIDDEN)) / 2,
        rng.normal(size=(HIDDEN, gates * HIDDEN)) / 2,
        rng.normal(size=gates * HIDDEN),
    ]
    parts = [rng.normal(size=(BATCH, time, INPUTS)), *before, *weights]
    return [None if part is None else part.astype(dtype) for part in parts]


def tensors(parts):
    return [None if part is None else mg.tensor(part, requires_grad=True) for part in parts]


def run(op, parts, options, mode):
    """Output and gradients of Σ output·r, with random r."""
    with mg.kernels.use(mode):
        xs = tensors(parts)
        y = op(*xs, **options)
        r = np.random.default_rng(1).normal(size=y.shape).astype(y.dtype)
        (y * r).sum().backward()
    return [y.numpy(), *(x.grad for x in xs if x is not None)]


def sequence(seed=0, dtype=float, time=TIME):
    return np.random.default_rng(seed).normal(size=(BATCH, time, INPUTS)).astype(dtype)


def initial(layer, seed=1):
    """A random initial state in the form that `layer` takes."""
    rng, count = np.random.default_rng(seed), len(layer.layers)
    states = [mg.tensor(rng.normal(size=(count, BATCH, HIDDEN)), requires_grad=True) for _ in layer.layers[0].states]
    return tuple(states) if len(states) > 1 else states[0]


def listed(state):
    return list(state) if isinstance(state, tuple) else [state]


# The fused ops


@pytest.mark.parametrize("given", [False, True], ids=["zeros", "given state"])
@pytest.mark.parametrize("time", [1, TIME])
@pytest.mark.parametrize("name", OPS)
def test_the_kernel_equals_its_definition(name, time, given):
    op, gates, states, options = OPS[name]
    parts = arrays(gates, states, given, time=time)
    for found, expected in zip(run(op, parts, options, "numpy"), run(op, parts, options, "definition"), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", OPS)
def test_float32_stays_float32_and_is_the_same_numbers(name):
    op, gates, states, options = OPS[name]
    exact = run(op, arrays(gates, states, True), options, "numpy")
    for mode in ("numpy", "definition"):
        for found, expected in zip(run(op, arrays(gates, states, True, "float32"), options, mode), exact, strict=True):
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", OPS)
def test_gradients_against_finite_differences(name, assert_gradients):
    op, gates, states, options = OPS[name]
    xs = tensors(arrays(gates, states, True))
    assert_gradients(lambda: op(*xs, **options), *xs)


@pytest.mark.parametrize("mode", ["numpy", "auto"])
@pytest.mark.parametrize(("activation", "copies"), [("tanh", 1), ("relu", 1), ("gelu", 2)])
def test_sums_are_kept_only_where_the_derivative_is_computed_from_them(mode, activation, copies):
    parts = arrays(1, 1, True, time=1000)
    with mg.kernels.use(mode):
        mg.rnn(*tensors(parts), activation=activation)  # a kernel is loaded at its first call
        xs = tensors(parts)
        tracemalloc.start()
        y = mg.rnn(*xs, activation=activation)
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert round(kept / y.data.nbytes, 1) == copies


def test_mixed_dtypes_promote_as_in_the_definition():
    parts = arrays(4, 2, True, "float32")
    parts[2] = parts[2].astype(float)  # one state in float64
    for mode in ("numpy", "definition"):
        found = run(mg.lstm, parts, {}, mode)
        assert [array.dtype.name for array in found] == ["float64", "float32", "float32", "float64", *["float32"] * 3]


@pytest.mark.parametrize("name", OPS)
def test_on_arrays_the_ops_give_arrays_and_change_none(name):
    op, gates, states, options = OPS[name]
    parts = arrays(gates, states, True)
    copies = [part.copy() for part in parts]
    for mode in ("numpy", "definition"):
        with mg.kernels.use(mode):
            y = op(*parts, **options)
        assert type(y) is np.ndarray
        for part, copy in zip(parts, copies, strict=True):
            np.testing.assert_array_equal(part, copy)


def test_the_lstm_packs_h_and_c_side_by_side():
    x, h, c, w_input, w_hidden, bias = arrays(4, 2, True)
    y = mg.lstm(x, h, c, w_input, w_hidden, bias)
    for t in range(TIME):
        z = x[:, t] @ w_input + h @ w_hidden + bias
        i, f, g, o = (z[:, k * HIDDEN : (k + 1) * HIDDEN] for k in range(4))
        sigmoid = lambda a: 1 / (1 + np.exp(-a))  # noqa: E731, the equations as they are written
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        np.testing.assert_allclose(y[:, t], np.concatenate([h, c], axis=1), rtol=1e-12)


@pytest.mark.parametrize("scale", [1e3, 1e30])
def test_saturated_gates_are_finite_and_quiet(scale):
    x, h, c, w_input, w_hidden, bias = arrays(4, 2, True)
    for mode in ("numpy", "definition"):
        for array in run(mg.lstm, [scale * x, h, c, w_input, w_hidden, bias], {}, mode):
            assert np.isfinite(array).all()


def test_nan_is_passed_on():
    x, h, c, w_input, w_hidden, bias = arrays(4, 2, True)
    x[0, 2, 0] = np.nan
    y = mg.lstm(x, h, c, w_input, w_hidden, bias)
    assert np.isnan(y[0, 2:]).all()
    assert np.isfinite(y[0, :2]).all()
    assert np.isfinite(y[1:]).all()


@pytest.mark.parametrize("name", ["lstm", "rnn"])
def test_second_derivatives_are_those_of_the_definition(name):
    op, gates, states, options = OPS[name]
    results = []
    for mode in ("numpy", "definition"):
        with mg.kernels.use(mode):
            xs = tensors(arrays(gates, states, True))
            (slope,) = mg.grad((op(*xs, **options) ** 2).sum(), xs[0], create_graph=True)
            results.append(mg.grad((slope**2).sum(), xs))
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mode", ["numpy", "definition"])
@pytest.mark.parametrize(
    ("part", "shape", "message"),
    [
        (0, (BATCH, INPUTS), r"lstm: x must be \(batch, time, inputs\) with at least one step, not \(3, 4\)"),
        (0, (BATCH, 0, INPUTS), r"lstm: x must be .* not \(3, 0, 4\)"),
        (1, (1, HIDDEN), r"lstm: h must be \(3, 6\) for x \(3, 5, 4\) and 6 units, not \(1, 6\)"),
        (2, (BATCH, 5), r"lstm: c must be \(3, 6\) .* not \(3, 5\)"),
        (3, (INPUTS, HIDDEN), r"lstm: w_input must be \(4, 24\) .* not \(4, 6\)"),
        (4, (HIDDEN, HIDDEN), r"lstm: w_hidden must be \(6, 24\) .* not \(6, 6\)"),
        (5, (1, 24), r"lstm: bias must be \(24,\) .* not \(1, 24\)"),
    ],
)
def test_wrong_shapes_are_named(mode, part, shape, message):
    parts = arrays(4, 2, True)
    parts[part] = np.ones(shape)
    with mg.kernels.use(mode), pytest.raises(ValueError, match=message):
        mg.lstm(*parts)


@pytest.mark.parametrize("mode", ["numpy", "definition"])
def test_an_unknown_activation_is_named(mode):
    with mg.kernels.use(mode), pytest.raises(ValueError, match="rnn: activation 'tahn' is not one of sigmoid, tanh"):
        mg.rnn(*arrays(1, 1, True), activation="tahn")


@pytest.mark.parametrize(("name", "expected"), [("RNN", ["h"]), ("LSTM", ["h", "c"]), ("GRU", ["h"])])
def test_the_definition_names_its_states(name, expected):
    with mg.kernels.use("definition"):
        y = KINDS[name](INPUTS, HIDDEN, return_sequence=True)(sequence())
    names = [x.name for node in mg.graph.order(y.node) for x in node.inputs if x is not None and x.name]
    for state in expected:
        found = {name for name in names if name.startswith(f"{state}[")}
        assert found == {f"{state}[{t}]" for t in range(TIME)}


# The layers


@pytest.mark.parametrize("name", KINDS)
def test_parameters_have_the_contracts_names_and_shapes(name):
    gates = {"RNN": 1, "LSTM": 4, "GRU": 3}[name]
    layer = KINDS[name](INPUTS, HIDDEN, layers=2)
    assert [(path, p.shape) for path, p in layer.named_parameters()] == [
        ("layers.0.w_input", (INPUTS, gates * HIDDEN)),
        ("layers.0.w_hidden", (HIDDEN, gates * HIDDEN)),
        ("layers.0.bias", (gates * HIDDEN,)),
        ("layers.1.w_input", (HIDDEN, gates * HIDDEN)),
        ("layers.1.w_hidden", (HIDDEN, gates * HIDDEN)),
        ("layers.1.bias", (gates * HIDDEN,)),
    ]


def test_weights_start_orthogonal_for_each_gate_and_the_forget_gate_open():
    cell = LSTM(INPUTS, HIDDEN, forget_bias=2.5).layers[0]
    np.testing.assert_array_equal(cell.bias.data, np.repeat([0, 2.5, 0, 0], HIDDEN))
    gates = np.split(cell.w_hidden.data, 4, axis=1)
    for gate in gates:
        np.testing.assert_allclose(gate.T @ gate, np.eye(HIDDEN), atol=1e-12)
    assert np.abs(gates[0] - gates[1]).max() > 0.1
    seeded = LSTM(INPUTS, HIDDEN, rng=5).layers[0].w_hidden.data
    np.testing.assert_array_equal(seeded, LSTM(INPUTS, HIDDEN, rng=5).layers[0].w_hidden.data)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", KINDS)
def test_output_and_state_have_their_shapes(name, layers):
    for return_sequence in (False, True):
        layer = KINDS[name](INPUTS, HIDDEN, layers=layers, return_sequence=return_sequence)
        y = layer(sequence())
        assert y.shape == ((BATCH, TIME, HIDDEN) if return_sequence else (BATCH, HIDDEN))
        z, state = layer(sequence(), initial(layer))
        assert z.shape == y.shape
        assert [part.shape for part in listed(state)] == [(layers, BATCH, HIDDEN)] * len(layer.layers[0].states)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", KINDS)
def test_a_layer_equals_its_cells_one_step_at_a_time(name, layers):
    layer = KINDS[name](INPUTS, HIDDEN, layers=layers, return_sequence=True)
    state = initial(layer)
    y, last = layer(sequence(), state)
    states = [tuple(part[i] for part in listed(state)) for i in range(layers)]
    for t in range(TIME):
        x = sequence()[:, t]
        for i, cell in enumerate(layer.layers):
            after = cell(x, states[i] if name == "LSTM" else states[i][0])
            states[i] = after if name == "LSTM" else (after,)
            x = states[i][0]
        np.testing.assert_allclose(y.numpy()[:, t], x.numpy(), rtol=1e-12, atol=1e-14)
    for k, part in enumerate(listed(last)):
        np.testing.assert_allclose(part.numpy(), [s[k].numpy() for s in states], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", KINDS)
def test_without_a_state_it_starts_at_zeros_and_a_sequence_can_be_read_in_two_parts(name):
    layer = KINDS[name](INPUTS, HIDDEN, layers=2, return_sequence=True)
    x = sequence(time=7)
    whole = layer(x)
    zeros = np.zeros((2, BATCH, HIDDEN))
    first, state = layer(x[:, :3], (zeros, zeros) if name == "LSTM" else zeros)
    second, _ = layer(x[:, 3:], state)
    np.testing.assert_allclose(np.concatenate([first.numpy(), second.numpy()], axis=1), whole.numpy(), rtol=1e-12)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", KINDS)
def test_gradients_of_layers(name, layers, assert_gradients):
    layer = KINDS[name](INPUTS, HIDDEN, layers=layers)
    for parameter in layer.parameters():
        parameter.data = parameter.data + 0.1
    x, state = mg.tensor(sequence(), requires_grad=True), initial(layer)

    def joined():
        y, after = layer(x, state)
        return mg.concatenate([y[None], *listed(after)])

    assert_gradients(joined, x, *listed(state), *layer.parameters())


@pytest.mark.parametrize("name", CELLS)
def test_gradients_of_cells(name, assert_gradients):
    cell, x = CELLS[name](INPUTS, HIDDEN), mg.tensor(sequence()[:, 0], requires_grad=True)
    h = mg.tensor(np.random.default_rng(1).normal(size=(BATCH, HIDDEN)), requires_grad=True)
    c = mg.tensor(np.random.default_rng(2).normal(size=(BATCH, HIDDEN)), requires_grad=True)
    if name == "LSTM":
        assert_gradients(lambda: mg.concatenate(cell(x, (h, c))), x, h, c, *cell.parameters())
    else:
        assert_gradients(lambda: cell(x, h), x, h, *cell.parameters())


@pytest.mark.parametrize("name", KINDS)
def test_layers_and_cells_stay_in_float32(name):
    layer = KINDS[name](INPUTS, HIDDEN, layers=2).astype("float32")
    x = mg.tensor(sequence(dtype="float32"), requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert {y.dtype, x.grad.dtype, *(p.grad.dtype for p in layer.parameters())} == {np.dtype("float32")}
    cell = CELLS[name](INPUTS, HIDDEN).astype("float32")
    out = cell(sequence(dtype="float32")[:, 0])
    assert {part.dtype for part in (out if name == "LSTM" else [out])} == {np.dtype("float32")}


@pytest.mark.parametrize("mode", ["auto", "definition"])
@pytest.mark.parametrize("name", KINDS)
def test_an_empty_batch(name, mode):
    layer = KINDS[name](INPUTS, HIDDEN, layers=2, return_sequence=True, rng=0)
    x = mg.tensor(np.zeros((0, TIME, INPUTS)), requires_grad=True)
    with mg.kernels.use(mode):
        y = layer(x)
        y.sum().backward()
    assert y.shape == (0, TIME, HIDDEN)
    assert x.grad.shape == x.shape
    assert not any(parameter.grad.any() for parameter in layer.parameters())


def test_the_reset_gate_of_a_gru_acts_behind_the_product():
    cell = GRUCell(1, 1)
    cell.w_input.data, cell.w_hidden.data = [[0.5, -1.0, 2.0]], [[1.0, 0.3, -0.7]]
    cell.bias.data = [0.1, 0.2, 0.3]
    x, h = 0.9, -0.4
    r = 1 / (1 + np.exp(-(0.5 * x + 0.1 + 1.0 * h)))
    z = 1 / (1 + np.exp(-(-1.0 * x + 0.2 + 0.3 * h)))
    n = np.tanh(2.0 * x + 0.3 + r * (-0.7 * h))
    found = cell(np.array([[x]]), np.array([[h]])).item()
    assert found == pytest.approx((1 - z) * n + z * h, rel=1e-14)


# Where they are, and what they refuse


class Net(Module):
    def __init__(self, layer):
        self.memory = layer
        self.head = Dense(HIDDEN, 1)

    def forward(self, x):
        return self.head(self.memory(x))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("mode", ["numpy", "definition"])
def test_one_layer_is_in_its_own_scope_and_several_have_one_each(name, mode):
    with mg.kernels.use(mode):
        for layers, expected in [
            (1, {"memory", "head"}),
            (2, {"memory", "memory.layers.0", "memory.layers.1", "head"}),
        ]:
            y = Net(KINDS[name](INPUTS, HIDDEN, layers=layers))(sequence())
            scopes = {node.scope for node in mg.graph.order(y.node)}
            assert scopes | {"memory"} == expected


def test_the_parameters_carry_their_paths():
    net = Net(LSTM(INPUTS, HIDDEN))
    net(sequence())
    assert [p.name for p in net.parameters()] == [name for name, _ in net.named_parameters()]
    assert net.memory.layers[0].w_hidden.name == "memory.layers.0.w_hidden"


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("shape", [(BATCH, INPUTS), (BATCH, 0, INPUTS), (BATCH, TIME, INPUTS + 1)])
def test_a_sequence_of_another_shape_is_refused(name, shape):
    with pytest.raises(ValueError, match=rf"^memory: {name}: x must be \(batch, time, 4\), not \({BATCH}, "):
        Net(KINDS[name](INPUTS, HIDDEN))(np.ones(shape))


@pytest.mark.parametrize("name", KINDS)
def test_a_state_of_another_shape_is_refused(name):
    layer, wrong = KINDS[name](INPUTS, HIDDEN), np.zeros((BATCH, HIDDEN))
    with pytest.raises(ValueError, match=rf"{name}: state h must be \(1, 3, 6\) for x \(3, 5, 4\), not \(3, 6\)"):
        layer(sequence(), (wrong, wrong) if name == "LSTM" else wrong)


def test_an_lstm_wants_a_pair():
    layer, zeros = LSTM(INPUTS, HIDDEN), np.zeros((1, BATCH, HIDDEN))
    for state in (zeros, (zeros,), np.stack([zeros, zeros])):
        with pytest.raises(TypeError, match=r"LSTM: the state must be a pair \(h, c\)"):
            layer(sequence(), state)
    with pytest.raises(ValueError, match=r"LSTM: state c must be \(1, 3, 6\)"):
        layer(sequence(), (zeros, zeros[0]))


def test_an_lstm_cell_wants_a_pair():
    cell, zeros = CELLS["LSTM"](INPUTS, HIDDEN), np.zeros((BATCH, HIDDEN))
    for state in (zeros, (zeros,), zeros[:2]):
        with pytest.raises(TypeError, match=r"LSTMCell: the state must be a pair \(h, c\)"):
            cell(sequence()[:, 0], state)


@pytest.mark.parametrize("name", CELLS)
def test_cells_refuse_other_shapes(name):
    cell = CELLS[name](INPUTS, HIDDEN)
    with pytest.raises(ValueError, match=rf"{name}Cell: x must be \(batch, 4\), not \(3, 5, 4\)"):
        cell(sequence())
    with pytest.raises(ValueError, match=rf"{name}Cell: x must be \(batch, 4\), not \(3, 5\)"):
        cell(np.ones((BATCH, INPUTS + 1)))
    wrong = np.zeros((BATCH, HIDDEN + 1))
    with pytest.raises(ValueError, match=rf"{name}Cell: state h must be \(3, 6\) for x \(3, 4\), not \(3, 7\)"):
        cell(sequence()[:, 0], (wrong, None) if name == "LSTM" else wrong)


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_gates_of_one_seed_differ(name):
    cell = CELLS[name](HIDDEN, HIDDEN, rng=0)
    for weight in (cell.w_input, cell.w_hidden):
        first, second = weight.data[:, :HIDDEN], weight.data[:, HIDDEN : 2 * HIDDEN]
        assert np.all(first != second)


@pytest.mark.parametrize("name", KINDS)
def test_a_list_is_a_sequence(name):
    layer, x = KINDS[name](INPUTS, HIDDEN), sequence()
    np.testing.assert_array_equal(layer(x.tolist()).numpy(), layer(x).numpy())
    cell, steps = layer.layers[0], x[:, 0]
    for found, expected in zip(listed(cell(steps.tolist())), listed(cell(steps)), strict=True):
        np.testing.assert_array_equal(found.numpy(), expected.numpy())
