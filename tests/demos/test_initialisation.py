"""The lesson on first weights: its numbers against NumPy and theory, its claims, its picture, its options."""

import math

import numpy as np
import pytest

from demos import datasets, initialisation
from demos.initialisation import ACTIVATIONS, STARTS, distinct, measure, network, predicted
from demos.lesson import UserError

RANDOM = [start for start in STARTS if start != "constant 1/n"]


@pytest.fixture(scope="module")
def result():
    return initialisation.run(**initialisation.QUICK)


def factors(result, activation, start):
    return result.numbers["rows"][activation, start]["factors"]


def test_signal_and_gradient_against_numpy():
    """A tanh network multiplied out by hand, forward and back."""
    row = measure("tanh", "Xavier", "Xavier", depth=4, width=9, epochs=0, seed=5)
    rng = np.random.default_rng(5)
    images = datasets.digits(rng)
    weights = [p.data for p in network("tanh", "Xavier", "Xavier", 4, 9, rng).parameters() if p.ndim == 2]
    h, zs = images.x[:256], []
    for w in weights:
        zs.append(h @ w)
        h = np.tanh(zs[-1])
    p = np.exp(zs[-1]) / np.exp(zs[-1]).sum(axis=1, keepdims=True)
    g, gradients = (p - np.eye(10)[images.y[:256]]) / 256, []
    for w, z in zip(weights[:0:-1], zs[-2::-1], strict=True):
        g = (g @ w.T) * (1 - np.tanh(z) ** 2)
        gradients.insert(0, g)
    assert np.allclose(row["forward"], [np.mean(z**2) for z in zs[:-1]], rtol=1e-12, atol=0)
    assert np.allclose(row["backward"], [np.mean(g**2) for g in gradients], rtol=1e-10, atol=0)
    assert row["factors"][0] == pytest.approx((row["forward"][3] / row["forward"][0]) ** (1 / 3))
    assert row["factors"][2] == pytest.approx((row["backward"][0] / row["backward"][3]) ** (1 / 3))
    assert row["scale"] == pytest.approx(9 * weights[1].var())


@pytest.mark.parametrize("width", [10, 49, 100])
def test_a_constant_has_no_variance_at_any_width(width):
    """Not even the 1e−34 that rounding leaves of ten times 1/10: nothing can be predicted from that."""
    row = measure("relu", "constant 1/n", "Xavier", depth=3, width=width, epochs=0, seed=0)
    assert row["scale"] == 0
    assert np.isnan(row["theory"][0][1:]).all()


def test_prediction_of_relu_is_half_the_variance_of_the_weights():
    """E relu(z)² = E relu'(z)²·z² = q/2 on paper."""
    layers = network("relu", "He", "Xavier", 3, 40, np.random.default_rng(0))[1:-1]
    scales = [40 * layer.weight.data.var() / 2 for layer in layers]
    forward, backward = predicted("relu", layers, 3.0, 5.0)
    assert np.allclose(forward, [3, 3 * scales[0], 3 * scales[0] * scales[1]], rtol=1e-6)
    assert np.allclose(backward, [5 * scales[0] * scales[1], 5 * scales[1], 5], rtol=1e-3)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_prediction_against_random_numbers(activation):
    layers = network(activation, "Xavier", "Xavier", 2, 30, np.random.default_rng(0))[1:-1]
    forward, backward = predicted(activation, layers, 1.7, 1.0)
    z = math.sqrt(1.7) * np.random.default_rng(1).normal(size=400_000)
    h, slope = {
        "sigmoid": (1 / (1 + np.exp(-z)), 1 / (1 + np.exp(-z)) / (1 + np.exp(z))),
        "tanh": (np.tanh(z), 1 - np.tanh(z) ** 2),
        "relu": (np.maximum(z, 0), z > 0),
    }[activation]
    scale = 30 * layers[0].weight.data.var()
    assert forward[1] == pytest.approx(scale * np.mean(h**2), rel=0.01)
    assert backward[0] == pytest.approx(scale * np.mean(slope**2), rel=0.01)


def test_predictions_hold_for_all_random_starts(result):
    for activation in ACTIVATIONS:
        for start in RANDOM:
            forward, expected, backward, expected_back = factors(result, activation, start)
            assert abs(math.log10(forward / expected)) < 0.05, (activation, start)
            assert abs(math.log10(backward / expected_back)) < 0.05, (activation, start)
        assert all(math.isnan(x) for x in factors(result, activation, "constant 1/n")[1::2])


def test_which_start_suits_which_activation(result):
    forward, _, backward, _ = factors(result, "relu", "He")
    assert forward == pytest.approx(1, abs=0.15)
    assert backward == pytest.approx(1, abs=0.15)
    for factor in factors(result, "relu", "Xavier"):
        assert factor == pytest.approx(0.5, abs=0.1)
    for start in RANDOM[1:]:
        assert factors(result, "sigmoid", start)[0] > 0.8  # the signal is kept …
        assert factors(result, "sigmoid", start)[2] < 0.15  # … and the gradient is lost
    assert factors(result, "relu", "uniform ±1")[0] > 5
    rows = result.numbers["rows"]
    assert rows["tanh", "Xavier"]["correct"] > 0.8
    assert rows["relu", "He"]["correct"] > rows["relu", "Xavier"]["correct"] + 0.3
    assert max(rows["sigmoid", start]["correct"] for start in STARTS) < 0.3


def test_constant_weights_leave_one_unit(result):
    for activation in ACTIVATIONS:
        assert result.numbers["rows"][activation, "constant 1/n"]["units"] == 1
    assert result.numbers["rows"]["tanh", "Xavier"]["units"] == 100
    assert result.numbers["constant"]["units"] == result.numbers["constant"]["trained"] == 1
    assert result.numbers["rows"]["tanh", "constant 1/n"]["trained"] > 1  # the random top layer makes them differ


def test_distinct_counts_columns():
    images = datasets.digits(0)
    model = network("relu", "Xavier", "Xavier", 1, 5, np.random.default_rng(0))
    assert distinct(model, images) == 5
    weight = model[0].weight.data.copy()
    weight[:, 3] = weight[:, 1]
    weight[:, 4] = weight[:, 1] * (1 + 1e-9)
    model[0].weight.data = weight
    assert distinct(model, images) == 3
    model[0].weight.data = np.zeros_like(weight)
    assert distinct(model, images) == 1


# What is shown


def test_the_table_shows_the_numbers(result):
    lines = [line.split() for line in result.table.split("\n\n")[1].split("\n")[2:]]
    assert len(lines) == 18
    for ((activation, start), row), line in zip(result.numbers["rows"].items(), lines, strict=True):
        assert line[: 1 + len(start.split())] == [activation, *start.split()]
        scale, *per_layer, units, trained, correct = line[1 + len(start.split()) :]
        for cell, value in zip((scale, *per_layer), (row["scale"], *row["factors"]), strict=True):
            assert cell == "—" if math.isnan(value) else float(cell) == pytest.approx(value, rel=0.06)
        assert int(units) == row["units"]
        assert trained == ("—" if math.isnan(row["trained"]) else str(row["trained"]))
        assert correct == f"{row['correct']:.0%}"
    assert result.numbers["rows"]["relu", "He"]["chain"] in result.table


def test_the_picture_shows_the_numbers(result):
    axes = result.figure.axes
    assert [ax.get_title() for ax in axes[:3]] == list(ACTIVATIONS)
    for k, activation in enumerate(ACTIVATIONS):
        for ax, what, side in ((axes[k], "forward", 0), (axes[k + 3], "backward", 1)):
            assert ax.get_yscale() == "log"
            measured = {line.get_label(): line for line in ax.lines[::2]}
            assert list(measured) == list(STARTS)
            for (start, line), dots in zip(measured.items(), ax.lines[1::2], strict=True):
                row = result.numbers["rows"][activation, start]
                assert np.array_equal(line.get_ydata(), row[what])
                assert np.array_equal(dots.get_ydata(), row["theory"][side], equal_nan=True)
    assert len({(line.get_color(), line.get_linestyle()) for line in axes[0].lines[::2]}) == 6
    assert result.figure.get_supxlabel().startswith("How to read: ")


def test_each_claim_has_its_verdict(result):
    alike, theory, signal, learns = result.claims
    assert alike.verdict == "holds if the top layer is constant too"
    assert alike.measured.endswith(", 1 if the top layer starts constant too")
    assert theory.verdict == "holds"
    assert signal.verdict == "holds if φ is ReLU"
    assert "relu He" in learns.measured
    assert learns.verdict.startswith("holds")


def test_how_far_chance_moves_relu():
    """Var Σ relu(z)²/E Σ relu(z)² over n normal z is 5/n, what one layer adds to the spread that claim 2 allows."""
    z = np.maximum(np.random.default_rng(0).normal(size=(20_000, 100)), 0)
    assert np.var(2 * np.mean(np.square(z), axis=1)) == pytest.approx(5 / 100, rel=0.05)


def test_other_numbers_give_other_verdicts(result):
    rows, constant = dict(result.numbers["rows"]), result.numbers["constant"]
    rows["relu", "He"] = rows["relu", "He"] | {"correct": 0.1}
    rows["tanh", "He"] = rows["tanh", "He"] | {"factors": [1.0, 1.5, 1.0, 1.0]}
    found = initialisation.claims(rows, constant | {"trained": 3}, 100)
    assert [claim.verdict for claim in found] == ["false", "false", "holds if φ is ReLU", "false"]
    rows["relu", "He"] = rows["relu", "He"] | {"factors": [1.0, 1.0, 3.0, 3.0]}
    assert initialisation.claims(rows, constant, 100)[2].verdict == "false"


def test_nothing_is_said_of_nets_that_keep_a_size_if_there_are_none(result):
    shrinking = {key: row | {"factors": [0.1, 0.1, 0.1, 0.1]} for key, row in result.numbers["rows"].items()}
    found = initialisation.claims(shrinking, result.numbers["constant"], 100)
    assert found == [*result.claims[:1], found[1]]
    shrinking["relu", "He"] = shrinking["relu", "He"] | {"factors": [1.0, 1.0, 0.1, 0.1]}
    assert [claim.measured for claim in initialisation.claims(shrinking, result.numbers["constant"], 100)[2:]] == [
        "0 of 1 such nets with random W, 0 of 1 with ReLU"
    ]


# Options


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"depth": 1}, "--depth: at least 2, not 1"),
        ({"width": 1}, "--width: at least 2, not 1"),
        ({"epochs": -1}, "--epochs: at least 0, not -1"),
        ({"seed": -1}, "--seed: at least 0, not -1"),
    ],
)
def test_wrong_options_are_one_sentence(options, sentence):
    with pytest.raises(UserError, match=sentence):
        initialisation.run(**options)


def test_networks_of_two_units_may_be_dead():
    result = initialisation.run(depth=12, width=2, epochs=0)
    result.figure.draw_without_rendering()
    assert any(row["backward"][0] == 0 for row in result.numbers["rows"].values())
    assert "nan" not in str(result)


def test_ctrl_c_keeps_the_networks_that_are_finished(monkeypatch):
    def interrupted(activation, start, *args):
        if (activation, start) == ("tanh", "uniform ±1"):
            raise KeyboardInterrupt
        return measure(activation, start, *args)

    monkeypatch.setattr(initialisation, "measure", interrupted)
    result = initialisation.run(depth=3, width=5, epochs=0)
    assert not result.complete
    assert list(result.numbers["rows"]) == [*(("sigmoid", start) for start in STARTS), ("tanh", "constant 1/n")]
    assert not result.claims
    result.figure.draw_without_rendering()
