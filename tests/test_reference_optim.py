"""25 steps of every optimizer, 60 steps of every schedule and clipping agree with PyTorch (`reference/README.md`)."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import minigrad as mg
import optim
from layers import GRU, LSTM, BatchNorm, Dense, LayerNorm, Sequential, Tanh

reference = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "reference" / "comparison.py")))
cases = reference.cases

MODELS = {
    "mlp": lambda: Sequential(Dense(3, 4, "tanh"), Dense(4, 3)),
    "lstm": lambda: Sequential(LSTM(2, 4), Dense(4, 3)),
    "gru": lambda: Sequential(GRU(2, 4), Dense(4, 3)),
    "batch norm": lambda: Sequential(Dense(3, 4, bias=False), BatchNorm(4), Tanh(), Dense(4, 3)),
    "layer norm": lambda: Sequential(Dense(3, 4, bias=False), LayerNorm(4), Tanh(), Dense(4, 3)),
}


@pytest.fixture(scope="module")
def stored():
    return reference.stored()


def made(value):
    """The schedule of a pair (name, settings); anything else as it is."""
    if not (isinstance(value, tuple) and isinstance(value[0], str)):
        return value
    name, settings = value
    return getattr(optim, name)(**{key: made(setting) for key, setting in settings.items()})


def optimizer_of(case, parameters, **changes):
    settings = {key: made(value) for key, value in {**case.settings, **changes}.items()}
    groups = [
        {key: [parameters[i] for i in value] if key == "params" else made(value) for key, value in group.items()}
        for group in case.groups or []
    ]
    return getattr(optim, case.optimizer)(groups or parameters, **settings)


def below(prefix, arrays):
    """The arrays whose names start with the prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def assert_trained_alike(case, arrays, model, optimizer, penalty=lambda: 0):
    """Losses before each step, and parameters and running statistics after the last one."""
    losses = []
    for _ in range(cases.STEPS):
        optimizer.zero_grad()
        loss = mg.cross_entropy(model(arrays["x"]), cases.LABELS)
        (loss + penalty()).backward()
        optimizer.step()
        losses.append(loss.item())
    reference.assert_equal(losses, arrays["losses"], 1e-9, f"{case.name}: losses")
    final, expected = model.state_dict(), below("final/", arrays)
    assert final.keys() == expected.keys()
    for name, array in expected.items():
        reference.assert_equal(final[name], array, 1e-9, f"{case.name}: {name}")
    assert losses[-1] < 0.95 * losses[0]


def model_of(case, arrays):
    model = MODELS[case.model]()
    model.load_state_dict(below("initial/", arrays), strict=case.model != "batch norm")  # with new running statistics
    return model


@pytest.mark.parametrize("case", cases.TRAINING, ids=lambda case: case.name)
def test_25_steps_agree_with_pytorch(case, stored):
    arrays = stored[case.name]
    model = model_of(case, arrays)
    assert_trained_alike(case, arrays, model, optimizer_of(case, model.parameters()))


L2 = [case for case in cases.TRAINING if case.optimizer in ("SGD", "Adam") and "weight_decay" in case.settings]


@pytest.mark.parametrize("case", L2, ids=lambda case: case.name)
def test_the_l2_penalty_takes_the_steps_of_pytorchs_weight_decay(case, stored):
    arrays = stored[case.name]
    model = model_of(case, arrays)
    optimizer = optimizer_of(case, model.parameters(), weight_decay=0.0)

    def penalty():
        return optim.l2_penalty(model.parameters(), case.settings["weight_decay"])

    assert_trained_alike(case, arrays, model, optimizer, penalty)


@pytest.mark.parametrize("case", cases.SCHEDULES, ids=cases.schedule_name)
def test_60_rates_agree_with_pytorch(case, stored):
    arrays = stored[cases.schedule_name(case)]
    schedule, found = made(case), []
    for t in range(cases.RATES):
        found.append(schedule(t))
        if "metrics" in arrays:
            schedule.observe(arrays["metrics"][t])
    reference.assert_equal(found, arrays["rates"], 1e-12, cases.schedule_name(case))
    assert len(set(found)) > 1 or case[0] == "Constant"


@pytest.mark.parametrize(("name", "limit"), cases.CLIPPING)
def test_clipping_agrees_with_pytorch(name, limit, stored):
    arrays = stored[f"{name} {limit}"]
    before, after = below("before/", arrays), below("after/", arrays)
    parameters = {key: mg.tensor(np.zeros_like(g), requires_grad=True) for key, g in before.items()}
    for key, parameter in parameters.items():
        parameter.grad = before[key]
    norm = getattr(optim, name)(parameters.values(), limit)
    reference.assert_equal(norm, arrays["norm"], 1e-12, "norm")
    for key, parameter in parameters.items():
        reference.assert_equal(parameter.grad, after[key], 1e-12, f"{name}: {key}")


def test_every_optimizer_and_schedule_has_a_case():
    kinds = {name: value for name, value in vars(optim).items() if isinstance(value, type)}
    optimizers = {name for name, kind in kinds.items() if issubclass(kind, optim.Optimizer)} - {"Optimizer"}
    schedules = {name for name, kind in kinds.items() if issubclass(kind, optim.Schedule)} - {"Schedule"}
    assert {case.optimizer for case in cases.TRAINING} == optimizers
    assert {name for name, _ in cases.SCHEDULES} == schedules
