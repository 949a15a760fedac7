"""Training that was stopped and resumed has the same bits as training that was not."""

import json

import numpy as np
import pytest

import minigrad as mg
from layers import Dense, Dropout, Sequential
from minigrad.data import batches
from optim import SGD, Adagrad, Adam, AdamW, CosineDecay, Optimizer, ReduceOnPlateau, RMSprop, Warmup

OPTIMIZERS = [
    lambda params: SGD(params, 0.05),
    lambda params: SGD(params, 0.05, momentum=0.9, nesterov=True, weight_decay=0.1),
    lambda params: SGD(params, CosineDecay(0.1, steps=10), momentum=0.9),
    lambda params: SGD(params, lambda step: 0.1 / (step + 1)),
    lambda params: Adagrad(params, 0.1),
    lambda params: RMSprop(params, 0.1),
    lambda params: Adam(params, 0.1, weight_decay=0.1),
    lambda params: AdamW(params, Warmup(ReduceOnPlateau(0.1, patience=1), steps=2)),
    lambda params: Adam([{"params": params[:1], "lr": 0.3}, {"params": params[1:]}], CosineDecay(0.1, steps=10)),
]
every_optimizer = pytest.mark.parametrize("make", OPTIMIZERS)


def parameters(dtype=np.float64):
    rng = np.random.default_rng(1)
    shapes = [(3, 2), (2,), ()]
    return [mg.tensor(rng.normal(size=shape).astype(dtype), requires_grad=True) for shape in shapes]


def train(optimizer, first, last):
    for t in range(first, last):
        rng = np.random.default_rng(t)
        for p in optimizer.params:
            p.grad = rng.normal(size=p.shape)
        optimizer.params[1].grad = None if t % 3 == 1 else optimizer.params[1].grad  # not in every step
        optimizer.step()
        schedule = getattr(optimizer.common["lr"], "schedule", None)
        if schedule is not None:
            schedule.observe(1.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("through_file", [False, True])
@every_optimizer
def test_the_same_bits(make, through_file, dtype, tmp_path):
    straight = make(parameters(dtype))
    train(straight, 0, 12)

    before = make(parameters(dtype))
    train(before, 0, 6)
    state = before.state_dict()
    if through_file:
        np.savez(tmp_path / "state.npz", **state)
        state = np.load(tmp_path / "state.npz")
    resumed = make(parameters(dtype))
    for p, q in zip(resumed.params, before.params, strict=True):
        p.data = q.data
    resumed.load_state_dict(state)
    assert resumed.lr == before.lr
    train(resumed, 6, 12)

    for p, q in zip(resumed.params, straight.params, strict=True):
        assert p.dtype == dtype
        assert p.data.tobytes() == q.data.tobytes()
    first, second = resumed.state_dict(), straight.state_dict()
    assert list(first) == list(second)
    for key in first:
        assert np.array(first[key]).tobytes() == np.array(second[key]).tobytes(), key


@every_optimizer
def test_a_saved_state_is_a_copy(make):
    optimizer = make(parameters())
    train(optimizer, 0, 3)
    state = optimizer.state_dict()
    copy = {key: np.array(value) for key, value in state.items()}
    live = [value for p in optimizer.params for value in optimizer.state[p].values() if isinstance(value, np.ndarray)]
    assert not any(np.shares_memory(value, array) for value in state.values() for array in live)
    train(optimizer, 3, 6)
    assert all(np.array_equal(state[key], copy[key]) for key in copy)
    other = make(parameters())
    other.load_state_dict(state)
    train(other, 3, 6)
    assert all(np.array_equal(state[key], copy[key]) for key in copy)


def test_an_assigned_rate_is_part_of_the_state():
    optimizer, other = SGD(parameters(), lr=0.1), SGD(parameters(), lr=0.1)
    optimizer.lr = 0.025
    other.load_state_dict(optimizer.state_dict())
    assert other.lr == 0.025


def test_state_hangs_on_positions_not_on_names():
    optimizer, other = (SGD(parameters(), lr=0.1, momentum=0.9) for _ in range(2))
    for p in optimizer.params:
        p.name = "the same for all"
    train(optimizer, 0, 1)
    state = optimizer.state_dict()
    assert sorted(state) == ["0.steps", "0.velocity", "1.steps", "1.velocity", "2.steps", "2.velocity", "lr", "steps"]
    other.load_state_dict(state)
    for p, q in zip(optimizer.params, other.params, strict=True):
        np.testing.assert_array_equal(optimizer.state[p]["velocity"], other.state[q]["velocity"])


def test_a_state_comes_in_the_dtype_of_its_parameters():
    wide, narrow = (SGD(parameters(dtype), lr=0.1, momentum=0.9) for dtype in (np.float64, np.float32))
    train(wide, 0, 1)
    narrow.load_state_dict(wide.state_dict())
    assert all(narrow.state[p]["velocity"].dtype == np.float32 for p in narrow.params)


@pytest.mark.parametrize(("first", "then"), [("float64", "float32"), ("float32", "float64")])
def test_what_is_remembered_follows_a_model_to_another_dtype_when_it_is_loaded(first, then):
    model = Dense(3, 2).astype(first)
    optimizer = Adam(model.parameters(), lr=0.1)
    train(optimizer, 0, 1)
    model.astype(then)
    optimizer.load_state_dict(optimizer.state_dict())
    train(optimizer, 1, 2)
    for p in optimizer.params:
        assert p.dtype == optimizer.state[p]["mean"].dtype == optimizer.state[p]["square"].dtype == then


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("steps"), r"SGD.load_state_dict: missing or unexpected: steps"),
        (lambda state: state.pop("lr"), "unexpected: lr"),
        (lambda state: state.pop("1.steps"), "unexpected: 1.steps"),
        (lambda state: state.update({"3.velocity": 1.0}), "unexpected: 3.velocity"),
        (lambda state: state.update({"0.mean": 1.0}), "unexpected: 0.mean"),
        (
            lambda state: state.update({"0.velocity": np.ones(3)}),
            r"0.velocity has shape \(3,\), its parameter",
        ),
        (lambda state: state.update({"steps": "three", "lr": 7.0}), "could not convert string to float: 'three'"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(change, message):
    optimizer = SGD(parameters(), lr=0.1, momentum=0.9)
    train(optimizer, 0, 1)
    state, before = optimizer.state_dict(), optimizer.state_dict()
    change(state)
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict(state)
    after = optimizer.state_dict()
    assert after.keys() == before.keys()
    assert all(np.array_equal(after[key], before[key]) for key in before)


@pytest.mark.parametrize("kind", [SGD, Adagrad, RMSprop, Adam])
def test_the_state_of_another_kind_of_optimizer_does_not_fit(kind):
    others = [SGD(parameters(), 0.1, momentum=0.9), Adagrad(parameters(), 0.1), RMSprop(parameters(), 0.1)]
    for other in [*others, Adam(parameters(), 0.1)]:
        train(other, 0, 1)
        if type(other) is not kind:
            with pytest.raises(ValueError, match=f"{kind.__name__}.load_state_dict: missing or unexpected: 0"):
                kind(parameters(), 0.1).load_state_dict(other.state_dict())


def test_the_state_of_a_number_does_not_fit_a_schedule():
    state = SGD(parameters(), lr=0.1).state_dict()
    with pytest.raises(ValueError, match="unexpected: lr"):
        SGD(parameters(), lr=CosineDecay(0.1, steps=10)).load_state_dict(state)


def test_shuffled_batches_and_dropout_go_on_with_the_state_of_their_generator(tmp_path):
    x = np.random.default_rng(0).normal(size=(20, 3))

    def begin():
        rng = np.random.default_rng(7)
        model = Sequential(Dense(3, 8, "tanh", rng=rng), Dropout(0.3, rng=rng), Dense(8, 1, rng=rng))
        return rng, model, Adam(model.parameters(), 0.01), batches(x, x[:, :1], size=6, rng=rng)

    def epochs(count, rng, model, optimizer, parts):
        losses = []
        for _ in range(count):
            for inputs, targets in parts:
                optimizer.zero_grad()
                loss = mg.mse(model(inputs), targets)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
        return losses

    straight = epochs(4, *begin())
    rng, model, optimizer, parts = begin()
    assert epochs(2, rng, model, optimizer, parts) == straight[:8]
    model.save(tmp_path / "model.npz")
    np.savez(tmp_path / "optimizer.npz", **optimizer.state_dict())
    state = json.dumps(rng.bit_generator.state)
    rng, model, optimizer, parts = begin()
    model.load(tmp_path / "model.npz")
    optimizer.load_state_dict(np.load(tmp_path / "optimizer.npz"))
    rng.bit_generator.state = json.loads(state)
    assert epochs(2, rng, model, optimizer, parts) == straight[8:]


def test_a_state_that_could_not_be_loaded_is_not_saved():
    class Momentum(Optimizer):
        def change(self, w, g, state, lr):
            state["velocity"] = 0.9 * state.get("velocity", 0) + g
            return lr * state["velocity"]

    optimizer = Momentum(parameters(), 0.1)
    train(optimizer, 0, 1)
    with pytest.raises(
        ValueError, match=r"Momentum.state_dict: change keeps \['velocity'\]: .* remembers = \('velocity',\)"
    ):
        optimizer.state_dict()
    Momentum.remembers = ("velocity",)
    assert "0.velocity" in optimizer.state_dict()


def test_a_count_of_its_own_is_not_saved():
    """It could not be loaded, and every parameter has one: `state["steps"]`."""

    class Counting(Optimizer):
        remembers = ("t",)

        def change(self, w, g, state, lr):
            state["t"] = state.get("t", 0) + 1
            return lr * g / state["t"]

    optimizer = Counting(parameters(), 0.1)
    train(optimizer, 0, 1)
    with pytest.raises(ValueError, match=r"Counting.state_dict: change keeps t, .* state\['steps'\] counts steps"):
        optimizer.state_dict()
