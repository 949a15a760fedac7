"""The lesson on parts of batches: its numbers against NumPy and formulas, its claims, its picture, its options."""

import itertools
import math

import numpy as np
import pytest

from demos import accumulation
from demos.accumulation import SCALES, WAYS, accumulated, decayed_by, network, trained
from demos.lesson import UserError
from optim import SGD, Adam, AdamW


@pytest.fixture(scope="module")
def result():
    return accumulation.run()


def by_hand(images, part):
    """∂(mean loss)/∂W2 of the network, multiplied out in NumPy."""
    model = network(0)
    h = np.tanh(images.x[part] @ model[0].weight.data)
    z = h @ model[-1].weight.data
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return h.T @ (p - np.eye(10)[images.y[part]]) / len(p)


@pytest.mark.parametrize("way", [name for name in WAYS if "BatchNorm" not in name])
def test_accumulated_gradients_against_numpy(images, way):
    sizes, factor, _ = WAYS[way]
    ends = np.cumsum([0, *sizes])
    wanted = sum(factor(b - a) * by_hand(images, slice(a, b)) for a, b in itertools.pairwise(ends))
    found = accumulated(network(0), images, sizes, factor)[64 * 32 + 32 : -10].reshape(32, 10)
    assert np.allclose(found, wanted, rtol=1e-10, atol=1e-16)


def test_accumulated_gradient_equals_the_batch(result):
    added, equal, unequal, weighed, mixed = result.numbers["ways"].values()
    assert equal < 1e-14
    assert weighed < 1e-14
    assert added == pytest.approx(3, rel=1e-12)  # (4g − g)/g: four parts were added, not averaged
    assert unequal > 0.1
    assert 1e-3 < mixed < 0.5


def test_sums_and_means(result):
    runs = result.numbers["runs"]
    assert runs["SGD, sum, rate / 64"] < 1e-12
    assert runs["Adam, sum, rate / 64"] > 0.1
    assert runs["Adam, sum, same rate"] < 1e-5


def test_weight_decay_and_l2(result):
    runs = result.numbers["runs"]
    assert runs["SGD, decay"] < 1e-12
    assert runs["AdamW, decay"] > 0.1


def test_a_step_of_sgd_by_hand(images):
    """W ← W − 0.1·(g + 0.1·W) on the top layer, whose gradient is known."""
    found = trained(images, 1, 0, "SGD, L2")[64 * 32 + 32 : -10].reshape(32, 10)
    before = network(0)[-1].weight.data
    assert np.allclose(found, before - 0.1 * (by_hand(images, slice(0, 64)) + 0.1 * before), rtol=1e-12)


def test_limits_are_their_formulas(result):
    limits = result.numbers["limits"]
    assert np.allclose(limits["clip_by_global_norm"], np.minimum(SCALES, 1), rtol=1e-12)
    assert np.allclose(limits["damp_gradient"], SCALES / (1 + SCALES), rtol=1e-12)


def test_what_decay_takes(result):
    decays = result.numbers["decays"]
    assert np.allclose(decays["SGD"][:9], 1 - (1 - 0.003) ** 100, rtol=0.05)  # the noise cancels out
    assert np.allclose(decays["AdamW"], 1 - (1 - 0.003) ** 100, rtol=0.05)
    assert decays["Adam"][0] == pytest.approx(0.3, rel=0.1)  # every step has length lr, however small the decay
    assert decays["Adam"][-1] < 0.2 * decays["Adam"][0]


def test_without_noise_decay_is_exact(monkeypatch):
    monkeypatch.setattr(accumulation, "SCALES", np.zeros(2))
    for kind in (SGD, AdamW):
        assert np.allclose(decayed_by(kind, 0), 1 - (1 - 0.003) ** 100, rtol=1e-12)
    assert np.all((decayed_by(Adam, 0) > 0.26) & (decayed_by(Adam, 0) < 0.3))  # at most lr a step


# What is shown


def test_the_tables_show_the_numbers(result):
    ways, arrived, runs = (result.table.split("\n\n")[k].split("\n") for k in (0, 2, 3))
    for line, (name, value) in zip(ways[2:], result.numbers["ways"].items(), strict=True):
        assert line.startswith(name)
        assert float(line.split()[-1]) == pytest.approx(value, rel=0.06)
    for line, (name, value) in zip(runs[2:], result.numbers["runs"].items(), strict=True):
        assert line.split("  ")[0] == name
        assert float(line.split()[-1]) == pytest.approx(value, rel=0.06)
    assert len(arrived) == 1 + 5 + 1  # a title, four parts and a penalty, and their sum
    assert arrived[0].startswith("W1 (layers.0.weight)")


def test_the_picture_shows_the_numbers(result):
    limits, decays = result.figure.axes
    for axes, curves in ((limits, result.numbers["limits"]), (decays, result.numbers["decays"])):
        lines = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
        assert list(lines) == list(curves)
        for name, line in lines.items():
            assert np.array_equal(line.get_xdata(), SCALES)
            assert np.array_equal(line.get_ydata(), curves[name])
        assert len({(line.get_color(), line.get_linestyle()) for line in lines.values()}) == len(curves)
    assert np.array_equal(limits.lines[-1].get_ydata(), SCALES)
    assert result.figure.get_supxlabel().startswith("How to read: ")


def test_each_claim_has_its_verdict(result):
    assert [claim.verdict for claim in result.claims] == [
        "holds if the parts are equal and no layer mixes images",
        "holds if the optimizer is SGD",
        "holds if the optimizer is SGD",
        "holds if ‖g‖ is far from the limit",
    ]
    assert "×0.50 at the limit" in result.claims[3].measured


def test_other_numbers_give_other_verdicts(result):
    numbers = result.numbers
    exact = dict.fromkeys(numbers["ways"], 1e-16), dict.fromkeys(numbers["runs"], 1e-09)
    same = {name: np.ones(3) for name in numbers["limits"]}
    assert [claim.verdict for claim in accumulation.claims(*exact, same, numbers["decays"])] == 4 * ["holds"]
    wrong = dict.fromkeys(numbers["ways"], 0.001), dict.fromkeys(numbers["runs"], 0.1)
    half = same | {"damp_gradient": np.full(3, 0.5)}
    assert [claim.verdict for claim in accumulation.claims(*wrong, half, numbers["decays"])] == 4 * ["false"]


# Options


@pytest.mark.parametrize("options", [{"steps": 0}, {"seed": -1}])
def test_wrong_options_are_one_sentence(options):
    with pytest.raises(UserError, match="--steps is at least 1 and --seed at least 0, not "):
        accumulation.run(**options)


def test_ctrl_c_keeps_the_runs_that_are_finished(monkeypatch):
    def interrupted(images, steps, seed, name):
        if name == "Adam, sum, rate / 64":
            raise KeyboardInterrupt
        return trained(images, steps, seed, name)

    monkeypatch.setattr(accumulation, "trained", interrupted)
    result = accumulation.run(steps=2)
    assert not result.complete
    assert list(result.numbers["runs"]) == ["SGD, sum, rate / 64"]
    assert not result.claims


def test_another_seed_gives_other_numbers_of_the_same_kind(result):
    other = accumulation.run(steps=5, seed=3)
    assert other.numbers["ways"]["192 + 48 + 16 images, each loss / 3"] != pytest.approx(
        result.numbers["ways"]["192 + 48 + 16 images, each loss / 3"]
    )
    assert math.isfinite(other.numbers["runs"]["AdamW, decay"])
    assert other.claims[0].verdict == result.claims[0].verdict
