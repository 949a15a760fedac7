"""Every optimizer on a quadratic, against its formula written out as a loop."""

import numpy as np
import pytest

import minigrad as mg
from optim import SGD, Adagrad, Adam, AdamW, RMSprop, SqrtDecay
from optim.optimizer import Optimizer
from optim.schedule import Schedule

CURVATURE = np.array([[3.0, 1.0], [1.0, 2.0]])
START = np.array([1.0, -2.0])


def sgd(w, g, memory, t, lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0):
    g = g + weight_decay * w
    memory["v"] = momentum * memory.get("v", np.zeros(2)) + g
    return w - lr * (g + momentum * memory["v"] if nesterov else memory["v"])


def adagrad(w, g, memory, t, lr=0.1, eps=1e-10):
    memory["s"] = memory.get("s", 0.0) + g**2
    return w - lr * g / (np.sqrt(memory["s"]) + eps)


def rmsprop(w, g, memory, t, lr=0.1, decay=0.99, eps=1e-8):
    memory["s"] = decay * memory.get("s", 0.0) + (1 - decay) * g**2
    return w - lr * g / (np.sqrt(memory["s"]) + eps)


def adam(w, g, memory, t, lr=0.1, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
    shrink = lr * weight_decay * w if decoupled else 0
    g = g if decoupled else g + weight_decay * w
    memory["m"] = betas[0] * memory.get("m", 0.0) + (1 - betas[0]) * g
    memory["v"] = betas[1] * memory.get("v", 0.0) + (1 - betas[1]) * g**2
    m, v = memory["m"] / (1 - betas[0] ** t), memory["v"] / (1 - betas[1] ** t)
    return w - shrink - lr * m / (np.sqrt(v) + eps)


def adamw(*args, weight_decay=0.01, **settings):
    return adam(*args, weight_decay=weight_decay, decoupled=True, **settings)


CASES = [
    (SGD, sgd, {}),
    (SGD, sgd, {"weight_decay": 0.3}),
    (SGD, sgd, {"momentum": 0.9}),
    (SGD, sgd, {"momentum": 0.9, "weight_decay": 0.3}),
    (SGD, sgd, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.3}),
    (Adagrad, adagrad, {}),
    (Adagrad, adagrad, {"eps": 0.1}),
    (RMSprop, rmsprop, {}),
    (RMSprop, rmsprop, {"decay": 0.5, "eps": 0.1}),
    (Adam, adam, {}),
    (Adam, adam, {"betas": (0.5, 0.6), "eps": 0.1, "weight_decay": 0.3}),
    (AdamW, adamw, {}),
    (AdamW, adamw, {"betas": (0.5, 0.6), "eps": 0.1, "weight_decay": 0.3}),
]
every_case = pytest.mark.parametrize(("kind", "formula", "settings"), CASES)
every_kind = pytest.mark.parametrize("kind", [SGD, Adagrad, RMSprop, Adam, AdamW])


def descend(optimizer, w, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        ((w @ CURVATURE @ w) / 2).backward()
        optimizer.step()


@every_case
def test_25_steps_follow_the_formula(kind, formula, settings):
    w = mg.tensor(START, requires_grad=True)
    descend(kind([w], lr=0.1, **settings), w, 25)
    expected, memory = START, {}
    for t in range(1, 26):
        expected = formula(expected, CURVATURE @ expected, memory, t, **settings)
    np.testing.assert_allclose(w.data, expected, rtol=1e-11, atol=1e-14)


@every_kind
def test_it_reaches_the_minimum(kind):
    w = mg.tensor(START, requires_grad=True)
    lr = 1.0 if kind is Adagrad else SqrtDecay(0.3)  # Adagrad's own divisor grows like √t
    descend(kind([w], lr), w, 400)
    assert abs(w.data).max() < 0.01 * abs(START).max()


@every_case
def test_float32_stays_float32(kind, formula, settings):
    w = mg.tensor(START, dtype=np.float32, requires_grad=True)
    settings = {name: np.float64(value) if isinstance(value, float) else value for name, value in settings.items()}
    optimizer = kind([w], lr=lambda step: np.float64(0.1), **settings)
    descend(optimizer, w, 3)
    assert w.dtype == w.grad.dtype == np.float32
    for name in set(optimizer.state[w]) - {"steps"}:
        assert optimizer.state[w][name].dtype == np.float32, name


@every_case
def test_numbers_of_no_dimension_and_empty_parameters(kind, formula, settings):
    scalar, empty = mg.tensor(2.0, requires_grad=True), mg.tensor(np.zeros((0, 3)), requires_grad=True)
    scalar.grad, empty.grad = 1.0, np.zeros((0, 3))
    optimizer = kind([scalar, empty], lr=0.1, **settings)
    optimizer.step()
    optimizer.step()
    assert isinstance(scalar.data, np.ndarray)
    assert scalar.shape == ()
    assert scalar.item() < 2


@every_case
def test_gradients_are_only_read_and_arrays_keep_their_identity(kind, formula, settings):
    w = mg.tensor(START, requires_grad=True)
    optimizer = kind([w], lr=0.1, **settings)
    ((w @ CURVATURE @ w) / 2).backward()
    data, gradient, copy, version = w.data, w.grad, w.grad.copy(), w.version
    gradient.flags.writeable = False  # a write into it would raise
    optimizer.step()
    optimizer.step()
    assert w.data is data
    assert w.grad is gradient
    assert w.version == version + 2
    np.testing.assert_array_equal(gradient, copy)


@every_kind
def test_nothing_remembered_is_the_gradient_itself(kind):
    w = mg.tensor(START, requires_grad=True)
    w.grad = [1.0, 1.0]
    optimizer = kind([w], lr=0.1, **({"momentum": 0.9} if kind is SGD else {}))
    optimizer.step()
    arrays = [value for value in optimizer.state[w].values() if isinstance(value, np.ndarray)]
    assert arrays
    assert not any(np.shares_memory(array, held) for array in arrays for held in (w.grad, w.data))


@every_kind
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite_changes_nothing(kind, bad):
    w, b = mg.tensor(START, requires_grad=True), mg.tensor([[3.0, 4.0]], requires_grad=True)
    optimizer = kind([w, b], lr=0.1)
    w.grad, b.grad = 1.0, 1.0
    optimizer.step()
    before, state, version = [w.data.copy(), b.data.copy()], optimizer.state_dict(), w.version
    b.grad = [[1.0, bad]]
    with pytest.raises(FloatingPointError, match=r"the gradient of parameter 1 of shape \(1, 2\) is not finite"):
        optimizer.step()
    np.testing.assert_array_equal(w.data, before[0])
    np.testing.assert_array_equal(b.data, before[1])
    assert w.version == version
    after = optimizer.state_dict()
    assert after.keys() == state.keys()
    assert all(np.array_equal(after[key], state[key]) for key in state)
    b.name = "output.bias"
    with pytest.raises(FloatingPointError, match=r"parameter 'output\.bias'"):
        optimizer.step()


@every_kind
def test_a_gradient_too_long_to_be_measured_is_refused(kind):
    """No clip could shorten it: min(1, clip/‖g‖) is 0 for ‖g‖ = ∞."""
    w = mg.tensor(START, requires_grad=True)
    optimizer = kind([w], lr=0.1)
    w.grad = 1.7e308
    with pytest.raises(FloatingPointError, match=r"is not finite; nothing changed; mg.detect_anomaly\(\) finds"):
        optimizer.step(clip=1.0)
    np.testing.assert_array_equal(w.data, START)


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@every_kind
def test_a_parameter_that_is_not_finite_is_named_and_not_its_gradient(kind):
    """The step before, with a rate too high, has made it infinite."""
    w = mg.tensor(np.ones(2, np.float32), requires_grad=True, name="w")
    optimizer = kind([w], lr=1e300)
    for word in ("nothing", f"^{kind.__name__}: parameter 'w' is not finite; nothing changed"):
        w.grad = w.data * 3
        if word == "nothing":
            optimizer.step()
        else:
            with pytest.raises(FloatingPointError, match=word):
                optimizer.step()


def test_gradients_too_long_only_together_move_nothing():
    params = [mg.tensor(x, requires_grad=True) for x in (1.0, 2.0)]
    for p in params:
        p.grad = 1.7e308
    SGD(params, lr=0.1).step(clip=1.0)
    assert [p.item() for p in params] == [1.0, 2.0]


@pytest.mark.parametrize("kernels", ["numpy", "numba"])
@pytest.mark.parametrize("kind", [Adagrad, RMSprop, Adam, AdamW])
def test_a_gradient_whose_square_overflows_moves_nothing(kind, kernels):
    """As in PyTorch: the running square is infinite, and a step divided by its root is 0."""
    w = mg.tensor([1.0, -2.0, 3.0], dtype=np.float32, requires_grad=True)
    decay = {"weight_decay": 0.0} if kind is AdamW else {}
    with mg.kernels.use(kernels):
        optimizer = kind([w], lr=0.1, **decay)
        for big in (1e30, -1e30, 1.0):
            w.grad = [big, 1.0, -big]
            optimizer.step()
    np.testing.assert_array_equal(w.data[[0, 2]], [1.0, 3.0])
    assert w.data[1] < -2.1
    np.testing.assert_array_equal(np.isinf(optimizer.state[w][kind.remembers[-1]]), [True, False, True])


@pytest.mark.parametrize("kernels", ["numpy", "numba"])
@pytest.mark.parametrize(("kind", "settings"), [(RMSprop, {"decay": 0}), (Adam, {"betas": (0, 0)})])
def test_a_square_of_which_nothing_is_kept_is_forgotten_though_it_was_infinite(kind, settings, kernels):
    w = mg.tensor([1.0, 1.0], dtype=np.float32, requires_grad=True)
    with mg.kernels.use(kernels):
        optimizer = kind([w], lr=0.1, **settings)
        for big in (1e30, 4.0, -4.0, 4.0):
            w.grad = [big, 4.0]
            optimizer.step()
    np.testing.assert_allclose(w.data, [0.9, 0.6], rtol=1e-6)


@every_kind
def test_a_parameter_without_gradient_is_passed_over(kind):
    w, idle = mg.tensor(START, requires_grad=True), mg.tensor([7.0], requires_grad=True)
    optimizer = kind([idle, w], lr=0.1)
    alone = mg.tensor(START, requires_grad=True)
    descend(optimizer, w, 3)
    descend(kind([alone], lr=0.1), alone, 3)
    assert idle.item() == 7
    assert optimizer.state[idle] == {"steps": 0}
    np.testing.assert_array_equal(w.data, alone.data)


def test_adam_corrects_its_means_by_the_steps_of_each_parameter():
    late = mg.tensor(1.0, requires_grad=True)
    other = mg.tensor(1.0, requires_grad=True)
    optimizer = Adam([late, other], lr=0.1)
    other.grad = 1.0
    for _ in range(10):
        optimizer.step()
    late.grad = 5.0
    optimizer.step()  # its first step
    assert late.item() == pytest.approx(0.9, abs=1e-8)


def test_backward_after_a_step_is_refused():
    w = mg.tensor(START, requires_grad=True)
    loss = (w * w).sum()
    loss.backward()
    SGD([w], lr=0.1).step()
    with pytest.raises(mg.GraphError, match="changed in place"):
        loss.backward()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda w, g: g.sum(axis=0), r"shape \(3,\)"),
        (lambda w, g: g.sum(), r"shape \(\)"),
        (lambda w, g: np.stack([g, g]), r"shape \(2, 2, 3\)"),
        (lambda w, g: None, "NoneType"),
    ],
)
@pytest.mark.parametrize("heard", [False, True])
def test_a_change_has_the_shape_of_its_parameter(change, found, heard):
    class Own(Optimizer):
        def change(self, w, g, state, lr):
            return change(w, g)

    w = mg.tensor(np.ones((2, 3)), requires_grad=True)
    w.grad = 1
    optimizer = Own([w], lr=0.1)
    if heard:
        optimizer.listeners.append(print)
    with pytest.raises(
        ValueError, match=f"Own: change returned {found}, not what to subtract from a parameter of shape \\(2, 3\\)"
    ):
        optimizer.step()
    np.testing.assert_array_equal(w.data, 1)


def test_an_optimizer_and_a_schedule_without_their_formula_say_so():
    w = mg.tensor([1.0], requires_grad=True)
    w.grad = 1
    with pytest.raises(NotImplementedError, match="Bare has no change"):
        type("Bare", (Optimizer,), {})([w], lr=0.1).step()
    with pytest.raises(NotImplementedError, match="Bare has no at"):
        type("Bare", (Schedule,), {})()(0)
