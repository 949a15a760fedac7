"""Groups, rates, listeners, and what an optimizer refuses."""

import numpy as np
import pytest

import minigrad as mg
from optim import SGD, Adagrad, Adam, AdamW, RMSprop, StepDecay


def parameter(value=1.0, **keywords):
    return mg.tensor(value, requires_grad=True, **keywords)


def stepped(optimizer, *params):
    """How far each parameter goes in a step with gradient 1."""
    before = [p.item() for p in params]
    for p in params:
        p.grad = 1.0
    optimizer.step()
    return [pytest.approx(b - p.item(), rel=1e-12) for p, b in zip(params, before, strict=True)]


def test_a_group_has_settings_of_its_own_and_shares_the_rest():
    body, head = parameter(), parameter()
    optimizer = SGD([{"params": [body], "lr": 0.01, "weight_decay": 2.0}, {"params": (p for p in [head])}], lr=0.1)
    assert stepped(optimizer, body, head) == [0.03, 0.1]
    assert [group["momentum"] for group in optimizer.groups] == [0, 0]
    assert optimizer.params == [body, head]


def test_betas_of_a_group():
    slow, fast = parameter(), parameter()
    optimizer = Adam([{"params": [slow]}, {"params": [fast], "betas": [0.0, 0.0]}], lr=0.1)
    optimizer.params[0].grad = optimizer.params[1].grad = 1.0
    optimizer.step()
    slow.grad = fast.grad = -2.0
    before = slow.item(), fast.item()
    optimizer.step()
    assert fast.item() - before[1] == pytest.approx(0.1)  # without memory a step is lr·sign(g)
    assert slow.item() - before[0] < 0.05


def test_lr_reads_the_rate_and_is_assignable():
    w, own = parameter(), parameter()
    optimizer = SGD([{"params": [w]}, {"params": [own], "lr": 0.5}], lr=0.1)
    assert optimizer.lr == 0.1
    optimizer.lr = 0.2
    assert optimizer.lr == 0.2
    assert stepped(optimizer, w, own) == [0.2, 0.5]
    optimizer.groups[1]["lr"] = 0.25
    optimizer.lr = StepDecay(1.0, factor=0.5, every=1)
    assert optimizer.lr == 0.5  # one step has been taken
    assert stepped(optimizer, w, own) == [0.5, 0.25]


@pytest.mark.parametrize("schedule", [StepDecay(0.4, 0.5, every=1), lambda step: 0.4 * 0.5**step])
def test_a_schedule_is_asked_for_each_step_from_0_on(schedule):
    w = parameter()
    optimizer = SGD([w], lr=schedule)
    rates = [0.4, 0.2, 0.1]
    for rate in rates:
        assert optimizer.lr == pytest.approx(rate)
        assert optimizer.lr == pytest.approx(rate)  # reading it changes nothing
        assert stepped(optimizer, w) == [rate]


def test_groups_with_schedules_count_the_same_steps():
    w, own = parameter(), parameter()
    optimizer = SGD([{"params": [w]}, {"params": [own], "lr": lambda step: step + 1.0}], lr=lambda step: 10.0 * step)
    assert stepped(optimizer, w, own) == [0, 1]
    assert stepped(optimizer, w, own) == [10, 2]


def test_zero_grad_forgets_gradients():
    w, b = parameter(), parameter()
    w.grad = 1.0
    SGD([w, b], lr=0.1).zero_grad()
    assert w.grad is None
    assert b.grad is None


def test_listeners_hear_of_each_move():
    w, idle, b = parameter([1.0, 2.0]), parameter(), parameter(3.0)
    optimizer, heard = SGD([w, idle, b], lr=0.5), []
    optimizer.listeners.append(lambda p, g, change: heard.append((p, g.copy(), change.copy())))
    w.grad, b.grad = [1.0, -1.0], 4.0
    optimizer.step()
    assert [p for p, _, _ in heard] == [w, b]
    np.testing.assert_array_equal(heard[0][1], [1, -1])
    np.testing.assert_array_equal(heard[0][2], [0.5, -0.5])
    assert heard[1][2] == 2


@pytest.mark.parametrize("kernels", ["numba", "numpy"])
def test_meters_hear_how_long_the_gradient_and_each_move_are(kernels):
    w, idle, b = parameter([1.0, 2.0]), parameter(), parameter(3.0)
    optimizer, heard = SGD([w, idle, b], lr=0.5), []
    optimizer.meters.append(lambda *move: heard.append(move))
    w.grad, b.grad = [3.0, -4.0], 12.0
    with mg.kernels.use(kernels):
        optimizer.step(clip=6.5)  # half of the norm
    assert [p for p, *_ in heard] == [w, b]
    assert [move[1:] for move in heard] == [pytest.approx((5**0.5, 2.5, 1.25)), pytest.approx((3, 6, 3))]


@pytest.mark.parametrize("lr", [-0.1, np.nan, np.inf])
@pytest.mark.parametrize("kind", [SGD, Adagrad, RMSprop, Adam, AdamW])
def test_wrong_rates(kind, lr):
    with pytest.raises(ValueError, match=rf"{kind.__name__}: lr = {lr} is out of range"):
        kind([parameter()], lr=lr)
    optimizer = kind([parameter()], lr=0.1)
    with pytest.raises(ValueError, match="out of range"):
        optimizer.lr = lr
    assert optimizer.lr == 0.1


def test_a_rate_that_is_no_number():
    with pytest.raises(TypeError, match="SGD: lr is a number, not 'fast'"):
        SGD([parameter()], lr="fast")
    with pytest.raises(TypeError, match="SGD: lr is a number, not None"):
        SGD([{"params": [parameter()], "lr": None}], lr=0.1)


def test_parameters_given_as_the_rate_are_not_printed_in_full():
    with pytest.raises(TypeError, match="SGD: lr is a number, not ") as caught:
        SGD(0.1, [mg.tensor(np.ones((10, 10)), requires_grad=True)])
    assert len(str(caught.value)) < 80


def test_a_wrong_rate_assigned_to_a_group_changes_nothing():
    w, own = parameter(), parameter()
    optimizer = SGD([{"params": [w]}, {"params": [own], "lr": 0.1}], lr=0.1)
    optimizer.groups[1]["lr"] = -1.0
    w.grad = own.grad = 1.0
    with pytest.raises(ValueError, match=r"SGD: lr at step 0 = -1.0 is out of range"):
        optimizer.step()
    assert w.item() == own.item() == 1


def test_a_schedule_that_goes_wrong_changes_nothing():
    w, own = parameter(), parameter()
    optimizer = SGD([{"params": [w]}, {"params": [own], "lr": lambda step: 0.1 - step}], lr=0.1)
    assert stepped(optimizer, w, own) == [0.1, 0.1]
    before = w.item()
    with pytest.raises(ValueError, match=r"SGD: lr at step 1 = -0.9 is out of range"):
        optimizer.step()
    assert w.item() == before
    assert optimizer.steps == 1


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (SGD, {"momentum": 1.0}, r"SGD: momentum = 1.0 is out of range: 0 ≤ value < 1 is allowed"),
        (SGD, {"momentum": -0.1}, "SGD: momentum = -0.1 is out of range"),
        (SGD, {"momentum": np.nan}, "SGD: momentum = nan is out of range"),
        (SGD, {"weight_decay": -1.0}, "SGD: weight_decay = -1.0 is out of range"),
        (SGD, {"nesterov": True}, "SGD: nesterov=True needs a momentum above 0"),
        (RMSprop, {"decay": 1.0}, "RMSprop: decay = 1.0 is out of range"),
        (RMSprop, {"eps": -1e-8}, "RMSprop: eps = -1e-08 is out of range"),
        (Adagrad, {"eps": np.inf}, "Adagrad: eps = inf is out of range"),
        (Adam, {"betas": (1.0, 0.999)}, r"Adam: betas\[0\] = 1.0 is out of range"),
        (Adam, {"betas": (0.9, -0.1)}, r"Adam: betas\[1\] = -0.1 is out of range"),
        (AdamW, {"weight_decay": -1.0}, "AdamW: weight_decay = -1.0 is out of range"),
    ],
)
def test_wrong_settings(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind([parameter()], lr=0.1, **settings)
    with pytest.raises(ValueError, match=message):
        kind([{"params": [parameter()], **settings}], lr=0.1)


@pytest.mark.parametrize("betas", [0.9, (0.9,), "ab", (0.9, "x")])
def test_betas_are_a_pair_of_numbers(betas):
    with pytest.raises(TypeError, match="Adam: betas"):
        Adam([parameter()], lr=0.1, betas=betas)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ([], ValueError, "SGD: there are no parameters to train"),
        ([{"params": []}], ValueError, "SGD: there are no parameters to train"),
        (parameter(), TypeError, "SGD: params is an iterable of tensors .* not a Tensor"),
        (None, TypeError, "SGD: params is an iterable of tensors .* not a NoneType"),
        ([np.zeros(2)], TypeError, r"SGD: params\[0\] is a ndarray, not a tensor"),
        ([("weight", parameter())], TypeError, r"SGD: params\[0\] is a tuple, not a tensor"),
        ([mg.tensor([1.0, 2.0])], ValueError, r"SGD: parameter 0 of shape \(2,\) is not a leaf that requires"),
        ([parameter() * 2], ValueError, r"SGD: parameter 0 of shape \(\) is not a leaf that requires gradients"),
        ([mg.tensor(1.0, name="frozen")], ValueError, "SGD: parameter 'frozen' is not a leaf that requires"),
        (
            [{"params": [parameter()], "momentun": 0.9}],
            ValueError,
            "SGD: a group is a dict of params, lr, momentum",
        ),
        ([{"lr": 0.1}], ValueError, r"SGD: a group is a dict of params, .*; this one is \['lr'\]"),
        ([{"params": [parameter()]}, parameter()], ValueError, "SGD: a group is a dict .* this one is Tensor"),
        ([{"params": parameter()}], TypeError, "SGD: params is an iterable of tensors"),
    ],
)
def test_wrong_parameters(params, error, message):
    with pytest.raises(error, match=message):
        SGD(params, lr=0.1)


def test_the_same_parameter_twice():
    w, b = parameter(), parameter(name="b")
    with pytest.raises(ValueError, match=r"SGD: parameter 2 of shape \(\) is given twice"):
        SGD([w, b, w], lr=0.1)
    with pytest.raises(ValueError, match="SGD: parameter 'b' is given twice"):
        SGD([{"params": [w, b]}, {"params": [b]}], lr=0.1)


def test_a_parameter_frozen_after_backward_does_not_move():
    w, frozen = parameter(1.0), parameter(1.0)
    optimizer = SGD([w, frozen], lr=0.5)
    (w + frozen).backward()
    frozen.requires_grad = False
    optimizer.step()
    assert w.data == 0.5
    assert frozen.data == 1


def test_a_frozen_parameter_stays_until_it_is_trained_again():
    w, frozen = parameter(1.0), parameter(1.0)
    frozen.requires_grad = False
    optimizer = SGD([w, frozen], lr=0.5)
    for expected in (1.0, 0.5):
        optimizer.zero_grad()
        (w + frozen).backward()
        optimizer.step()
        assert frozen.data == expected
        frozen.requires_grad = True
    assert w.data == 0


def test_an_optimizer_prints_its_settings_group_by_group():
    w, b = parameter(), parameter()
    assert repr(SGD([w, b], 0.1)) == "SGD(lr=0.1, params=2, momentum=0.0, nesterov=False, weight_decay=0.0)"
    optimizer = Adam([{"params": [w], "lr": 0.5}, {"params": [b], "eps": 1e-4}], StepDecay(0.1, 0.5, 10))
    assert repr(optimizer).split("; ") == [
        "Adam(lr=0.5, params=1, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0",
        "lr=StepDecay(lr=0.1, factor=0.5, every=10), params=1, betas=(0.9, 0.999), eps=0.0001, weight_decay=0.0)",
    ]
