"""Recurrence by kernels: each step equals its NumPy line, and whole sequences equal their definition."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels import matrices
from minigrad.ops import steps as lines

pytest.importorskip("numba")

RELATIVE = {"float32": 1e-5, "float64": 1e-12}
rng = np.random.default_rng(3)
# batch, time, inputs, hidden
SIZES = [(0, 1, 1, 1), (1, 1, 1, 1), (3, 2, 0, 5), (2, 7, 3, 16), (5, 3, 4, 17), (4, 6, 2, 33)]
EXTREME = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-30, -1e30, 88.0, -104.0, 20.0]


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


def numbers(*shape, dtype=np.float64):
    return rng.normal(size=shape).astype(dtype)


def close(found, expected):
    """Equal to the tolerance of the dtype, relative to the largest number; NaN and infinities in the same places."""
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    finite = np.abs(expected[np.isfinite(expected)])
    relative = RELATIVE[expected.dtype.name]
    np.testing.assert_allclose(found, expected, rtol=relative, atol=relative * max(1.0, finite.max(initial=0)))


def both(twin, *arrays):
    """All arrays after the call of the kernel and of the line, which write their outputs in place."""
    sides = []
    for function in (twin.kernel, twin.line):
        mine = [x.copy() if isinstance(x, np.ndarray) else x for x in arrays]
        with np.errstate(all="ignore"):
            function(*mine)
        sides.append([x for x in mine if isinstance(x, np.ndarray)])
    return sides


def steps(batch, time, n, dtype, special=()):
    """Arguments for each twin that does one step."""

    def some(*shape):
        x = numbers(*shape, dtype=dtype)
        x.flat[: len(special)] = special[: x.size]
        return x

    t = time // 2
    empty = np.empty((batch, n), dtype)
    return {
        "tanh_step": (some(batch, n), some(batch, n), empty),
        "tanh_step_back": (some(batch, time, n), t, some(batch, n), some(batch, n), some(batch, n), empty),
        "lstm_step": (*(some(batch, k * n) for k in (4, 4, 2)), np.empty((batch, 2 * n), dtype), empty),
        "lstm_step_back": (
            *(some(batch, time, 2 * n), t, some(batch, 4 * n), some(batch, 2 * n), some(batch, n)),
            *(some(batch, n), some(batch, n), np.empty((batch, 4 * n), dtype)),
        ),
    }  # fmt: skip


@pytest.mark.parametrize("special", [(), EXTREME], ids=["numbers", "extremes"])
@pytest.mark.parametrize("name", ["tanh_step", "tanh_step_back", "lstm_step", "lstm_step_back"])
def test_one_step_equals_numpys(name, dtype, special):
    for batch, time, _, n in SIZES:
        sides = both(mg.kernels.twins[name], *steps(batch, time, n, dtype, special)[name])
        for found, expected in zip(*sides, strict=True):
            close(found, expected)


@pytest.mark.parametrize("special", [(), EXTREME], ids=["numbers", "extremes"])
def test_gates_of_a_gru(dtype, special):
    forward, back = mg.kernels.twins["gru"], mg.kernels.twins["gru_back"]
    for shape in [(0,), (1,), (5,), (2, 3)]:
        for n in (1, 16, 17):
            a, b, h, g = (numbers(*shape, k * n, dtype=dtype) for k in (3, 3, 1, 1))
            for x in (a, b, h, g):
                x.flat[: len(special)] = special[: x.size]
            with np.errstate(all="ignore"):
                y, saved = forward.line(a, b, h)
                found, kept = forward.kernel(a, b, h)
                for one, other in zip((found, *kept), (y, *saved), strict=True):
                    close(one, other)
                for one, other in zip(back.kernel(g, saved, a, b, h), back.line(g, saved, a, b, h), strict=True):
                    close(one, other)


def layouts(x):
    """The same numbers in other memory layouts."""
    yield np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape)  # read-only
    yield x.T.copy().T
    yield np.repeat(x, 2, axis=-1)[..., ::2]
    yield np.broadcast_to(x[..., :1], x.shape)


def test_gates_of_any_layout(dtype):
    for a, b, h in zip(*(layouts(numbers(4, k * 5, dtype=dtype)) for k in (3, 3, 1)), strict=True):
        (y, saved), (found, kept) = lines.gru.line(a, b, h), lines.gru.kernel(a, b, h)
        close(found, y)
        for one, other in zip(
            lines.gru_back.kernel(h, kept, a, b, h), lines.gru_back.line(h, saved, a, b, h), strict=True
        ):
            close(one, other)


OPS = {"rnn": (mg.rnn, 1, 1), "relu": (lambda *xs: mg.rnn(*xs, activation="relu"), 1, 1), "lstm": (mg.lstm, 4, 2)}


def arguments(op, batch, time, inputs, n, dtype):
    _, gates, states = OPS[op]
    shapes = (batch, time, inputs), *states * [(batch, n)], (inputs, gates * n), (n, gates * n), (gates * n,)
    return [np.asarray(0.4, dtype) * numbers(*shape, dtype=dtype) for shape in shapes]


def gradients(op, xs, g, choice, frozen=()):
    """The output and the gradient of each input, computed as `choice` says."""
    with mg.kernels.use(choice):
        leaves = [mg.tensor(x, requires_grad=i not in frozen, dtype=x.dtype) for i, x in enumerate(xs)]
        y = OPS[op][0](*leaves)
        y.backward(g)
        return [y.data, *(leaf.grad for i, leaf in enumerate(leaves) if i not in frozen)]


@pytest.mark.parametrize("room", ["as it is", "taken out"])
@pytest.mark.parametrize("op", OPS)
def test_sequences_equal_numpys_and_the_definition(monkeypatch, op, room, dtype):
    if room == "taken out":
        monkeypatch.setattr(matrices, "packed", None)
    for sizes in SIZES:
        xs = arguments(op, *sizes, dtype)
        batch, time, _, n = sizes
        g = numbers(batch, time, OPS[op][2] * n, dtype=dtype)
        found = gradients(op, xs, g, "numba")
        for choice in ("numpy", "definition"):
            for one, other in zip(found, gradients(op, xs, g, choice), strict=True):
                close(one, other)


@pytest.mark.parametrize("op", OPS)
def test_inputs_and_gradients_of_any_layout(op, dtype):
    batch, time, inputs, n = 3, 4, 2, 5
    xs = arguments(op, batch, time, inputs, n, dtype)
    for odd in zip(*(layouts(x) for x in [*xs, numbers(batch, time, OPS[op][2] * n, dtype=dtype)]), strict=True):
        *inputs_of_op, g = odd
        plain = [np.array(x) for x in inputs_of_op]
        for one, other in zip(gradients(op, inputs_of_op, g, "numba"), gradients(op, plain, g, "numpy"), strict=True):
            close(one, other)


@pytest.mark.parametrize("op", ["rnn", "lstm"])
def test_either_backward_pass_follows_either_forward_pass(op, dtype):
    """Both save the same arrays: NumPy goes back from where a kernel went forward, and the other way round."""
    xs, g = arguments(op, 3, 4, 2, 5, dtype), numbers(3, 4, 5 * OPS[op][2], dtype=dtype)
    expected = gradients(op, xs, g, "numpy")
    for there, back in (("numba", "numpy"), ("numpy", "numba")):
        leaves = [mg.tensor(x, requires_grad=True, dtype=dtype) for x in xs]
        with mg.kernels.use(there):
            y = OPS[op][0](*leaves)
        with mg.kernels.use(back):
            y.backward(g)
        for leaf, gradient in zip(leaves, expected[1:], strict=True):
            close(leaf.grad, gradient)


@pytest.mark.parametrize("op", ["rnn", "lstm"])
def test_the_same_bits_every_time(op, dtype):
    xs, g = arguments(op, 4, 9, 3, 20, dtype), numbers(4, 9, 20 * OPS[op][2], dtype=dtype)
    runs = [gradients(op, xs, g, "numba") for _ in range(3)]
    assert all(np.array_equal(a, b) for other in runs[1:] for a, b in zip(runs[0], other, strict=True))


@pytest.mark.parametrize("op", ["rnn", "lstm"])
def test_a_broken_number_reaches_only_its_own_sample(op, dtype):
    xs = arguments(op, 3, 5, 2, 6, dtype)
    xs[0][1, 2, 0] = np.nan
    with mg.kernels.use("numba"):
        y = OPS[op][0](*xs)
    assert np.isnan(y[1, 2:]).all()
    assert np.isfinite(y[[0, 2]]).all()
    assert np.isfinite(y[1, :2]).all()


@pytest.mark.parametrize("op", ["rnn", "lstm"])
def test_saturated_units_at_the_largest_numbers(op, dtype):
    xs = arguments(op, 2, 3, 2, 4, dtype)
    xs[0][:] = np.finfo(dtype).max / 4
    xs[-3][:] = np.sign(xs[-3]) + (xs[-3] == 0)
    xs[-3][1] = 0
    for choice in ("numba", "numpy"):
        with mg.kernels.use(choice):
            y = OPS[op][0](*xs)
        assert np.isfinite(y).all()
    close(gradients(op, xs, np.ones_like(y), "numba")[0], gradients(op, xs, np.ones_like(y), "numpy")[0])


@pytest.mark.parametrize("choice", ["auto", "numba", "numpy", "definition"])
@pytest.mark.parametrize("activation", ["relu", "hard_tanh"])
def test_a_unit_without_slope_stops_an_infinite_gradient(activation, choice):
    """As the activation by itself does: 0, not 0·∞."""
    w_input = mg.tensor([[2.0]], requires_grad=True)
    with mg.kernels.use(choice):  # every sum is −2
        y = mg.rnn(np.full((1, 2, 1), -1.0), None, w_input, np.zeros((1, 1)), np.zeros(1), activation=activation)
        y.backward(np.full((1, 2, 1), np.inf))
    assert w_input.grad == 0


@pytest.mark.parametrize("op", ["rnn", "lstm"])
def test_the_gradient_of_x_is_computed_when_it_is_wanted(op, dtype):
    xs, g = arguments(op, 3, 4, 2, 5, dtype), numbers(3, 4, 5 * OPS[op][2], dtype=dtype)
    everything, weights = gradients(op, xs, g, "numba"), gradients(op, xs, g, "numba", frozen=(0,))
    assert len(weights) == len(everything) - 1
    assert all(np.array_equal(a, b) for a, b in zip(weights[1:], everything[2:], strict=True))


def test_small_sequences_wait_for_no_compiler(monkeypatch):
    loaded, loops = [], [mg.kernels.twins["lstm_steps"], mg.kernels.twins["tanh_steps"]]
    for twin in (lines.lstm_step, lines.tanh_step, lines.gru, *loops):
        monkeypatch.setitem(vars(twin), "kernel", loaded.append)  # setattr would import it
    with mg.kernels.use("auto"):
        mg.lstm(*arguments("lstm", 1, 5, 2, 4, np.dtype("float64")))
        mg.rnn(*arguments("rnn", 2, 5, 2, 4, np.dtype("float64")))
    assert loaded == []


def test_when_one_call_does_all_steps(monkeypatch):
    """If the sequence is long enough, unless the products are large and BLAS has more threads for them."""
    twin = mg.kernels.twins["lstm_steps"]
    monkeypatch.setattr(matrices, "has_packed", lambda: True)

    def serves(rows, n, threads=1, choice="auto", time=8):
        monkeypatch.setattr(matrices, "blas_threads", lambda: threads)
        with mg.kernels.use(choice):
            return twin.serves(np.empty((time, rows, 4 * n), np.float32), np.empty((n, 4 * n), np.float32))

    assert serves(32, 64)
    assert serves(32, 64, threads=2)
    assert serves(32, 128)
    assert not serves(32, 128, threads=2)
    assert not serves(3, 128)
    assert not serves(4, 32)
    assert serves(4, 32, time=100)
    assert serves(1, 1, choice="numba")
    assert not serves(32, 64, choice="numpy")
    monkeypatch.setattr(matrices, "has_packed", lambda: False)
    assert not serves(32, 64)
    assert not serves(32, 64, choice="numba")


def test_gates_that_do_not_fit_are_named():
    with pytest.raises(
        ValueError, match=r"gru_gates: a \(2, 6\) and b \(2, 5\) must have three parts, each like h \(2, 2\)"
    ):
        mg.gru_gates(numbers(2, 6), numbers(2, 5), numbers(2, 2))
