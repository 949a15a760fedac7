"""The lesson on watching: its diagnosis against NumPy, the rescue, what is shown, its options."""

import math

import numpy as np
import pytest

import minigrad as mg
from demos import datasets, observe
from demos.lesson import UserError
from demos.observe import STEPS, diagnose, network, watch
from layers import Dropout, ReLU, Sequential
from minigrad.inspection.monitor.histogram import EDGES, OCTAVES
from optim import SGD


@pytest.fixture(scope="module")
def result():
    return observe.run(**observe.QUICK)


def test_the_diagnosis_against_numpy():
    """The stuck net multiplied out by hand, with the true σ', 1/4 and 1 in the backward pass."""
    found = diagnose(depth=4, seed=6)
    rng = np.random.default_rng(6)
    images = datasets.digits(rng)
    model = network(*STEPS["sigmoid"][:3], 4, rng)
    *hidden, top = [p.data for p in model.parameters() if p.ndim == 2]
    h = [images.x[:256]]
    for w in hidden:
        h.append(1 / (1 + np.exp(-h[-1] @ w)))
    p = np.exp(h[-1] @ top)
    start = (p / p.sum(axis=1, keepdims=True) - np.eye(10)[images.y[:256]]) / 256 @ top.T
    for norm, slope in zip(found["norms"].values(), (None, 0.25, 1.0), strict=True):
        g = start
        for k in range(3, -1, -1):
            g = g * (h[k + 1] * (1 - h[k + 1]) if slope is None else slope)
            first, g = h[k].T @ g, g @ hidden[k].T
        assert norm == pytest.approx(np.linalg.norm(first), rel=1e-9)
        if slope is None:
            printed = dict(found["printed"])
            assert float(printed["layers.0.weight"]) == pytest.approx(np.abs(first).max(), rel=0.06)
            assert list(printed) == [name for name, _ in model.named_parameters()]


def test_the_stuck_net_is_not_saturated_but_sigmoid(result, rows):
    stuck = rows["sigmoid"]
    assert stuck["decades"] < -4
    assert stuck["saturated"] < 0.05
    assert stuck["correct"] < 0.3
    assert stuck["ratios"][0] < 1e-6
    actual, quarter, one = result.numbers["norms"].values()
    assert actual < quarter < 10 * actual
    assert one > 1e5 * actual


def test_each_step_of_the_rescue_helps(rows):
    assert rows["ReLU"]["correct"] < 0.5
    assert abs(rows["ReLU"]["decades"]) < 1
    assert rows["ReLU"]["ratios"][0] < 3e-4
    assert rows["+ He"]["correct"] > rows["ReLU"]["correct"] + 0.2
    assert rows["+ rate × 10"]["correct"] > 0.85
    assert rows["+ rate × 10"]["ratios"].min() > 1e-3
    assert rows["+ rate × 10"]["dead"] < 0.2
    assert np.mean(rows["+ rate × 10"]["losses"][-10:]) < 1 < np.mean(rows["sigmoid"]["losses"][-10:])


def test_what_is_summed_up_is_what_the_monitor_heard(rows):
    for row in rows.values():
        history = row["monitor"].history
        weights = [name for name in history.of("gradient_norm") if name.endswith("weight")]
        assert len(row["norms"]) == len(row["ratios"]) == len(weights) == 11
        assert row["norms"][0] == history["gradient_norm/layers.0.weight"][-1]
        assert row["ratios"][0] == np.median(history["update_ratio/layers.0.weight"])
        assert row["decades"] == pytest.approx(math.log10(row["norms"][0] / row["norms"][-2]))
        assert len(row["losses"]) == len(history["step"]) == 46


def test_watching_changes_nothing(rows):
    rng = np.random.default_rng(0)
    images, model = datasets.digits(rng), network("relu", "he_normal", False, 10, rng)
    optimizer, losses = SGD(model.parameters(), lr=0.003, momentum=0.9), []
    for x, y in observe.batches(images.x, images.y, 64, rng):
        optimizer.zero_grad()
        loss = mg.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == rows["+ He"]["losses"][:23]


def test_a_net_of_dropout_and_relu_has_nothing_to_train(result):
    with pytest.raises(ValueError, match="no parameters to train") as error:
        SGD(Sequential(Dropout(0.5), ReLU()).parameters(), lr=0.1)
    assert result.numbers["message"] == str(error.value)
    assert f"A net of Dropout and ReLU alone: {error.value}" in result.table


# What is shown


def test_the_tables_show_the_numbers(result, rows):
    printed = result.table.split("\n\n")[0].split("\n")[2:]
    assert len(printed) == 22
    assert printed[0].startswith("layers.0.weight")
    lines = result.table.split("\n\n")[-2].split("\n")[2:]
    for line, (name, row) in zip(lines, rows.items(), strict=True):
        assert line.startswith(name)
        decades, first, last, saturated, dead, correct, loss = line[len("+ BatchNorm") :].split()
        assert float(decades.replace("−", "-")) == pytest.approx(row["decades"], abs=0.051)
        assert [float(first), float(last)] == pytest.approx(row["ratios"][[0, -1]], rel=0.5)
        for cell, share in ((saturated, row["saturated"]), (dead, row["dead"]), (correct, row["correct"])):
            assert cell == ("—" if np.isnan(share) else f"{share:.0%}")
        assert float(loss) == pytest.approx(np.mean(row["losses"][-10:]), abs=0.0051)
    assert "diag(σ'(z1))" in result.table
    assert "!!" in result.table  # the monitor sounds the alarm


def test_the_picture_shows_the_numbers(result, rows):
    losses, before, after, norms, low, high = result.figure.axes[:6]
    for axes, what in ((losses, "losses"), (norms, "norms")):
        assert [line.get_label() for line in axes.lines] == list(rows)
        assert len({(line.get_color(), str(line.get_linestyle())) for line in axes.lines}) == 5
        for line, row in zip(axes.lines, rows.values(), strict=True):
            assert np.array_equal(line.get_ydata(), row[what])
    for axes, name in ((before, "sigmoid"), (after, "+ rate × 10")):
        assert axes.get_title() == f"update ratios: {name}"
        assert len(axes.lines) >= 11
    for axes, name in ((low, "sigmoid"), (high, "+ rate × 10")):
        shown = axes.collections[0].get_array().reshape(len(OCTAVES) - 1, -1)
        counts = rows[name]["monitor"].histograms["gradient/layers.0.weight"]
        for octave in (0, 20, 53):
            same = [
                k
                for k in range(len(EDGES) - 1)
                if {abs(EDGES[k]), abs(EDGES[k + 1])} == {*OCTAVES[octave : octave + 2]}
            ]
            assert len(same) == 2
            assert np.array_equal(shown[octave], counts[:, same].sum(axis=1))
    middle = [
        np.average(np.arange(54), weights=axes.collections[0].get_array().reshape(54, -1)[:, -1])
        for axes in (low, high)
    ]
    assert middle[1] - middle[0] > 10  # octaves apart
    assert result.figure.get_supxlabel().startswith("How to read: ")


def test_each_claim_has_its_verdict(result):
    saturation, slope, ratio, each, article = result.claims
    assert saturation.verdict == "false"
    assert slope.verdict == "holds"
    assert ratio.verdict == "holds"
    assert each.verdict.startswith("holds if") or each.verdict == "holds"
    assert (article.verdict, article.measured) == ("false", result.numbers["message"])


def test_other_numbers_give_other_verdicts(rows):
    shares = dict(zip(rows, (0.1, 0.2, 0.3, 0.4, 0.5), strict=True))
    other = {name: row | {"correct": shares[name]} for name, row in rows.items()}
    other["sigmoid"] = other["sigmoid"] | {"saturated": 0.9}
    found = observe.claims(other, {"σ'": 1e-6, "1/4": 1e-4, "1": 1.0}, "")
    assert [claim.verdict for claim in found] == ["holds", "false", "holds", "holds", "holds"]
    other["sigmoid"] |= {"correct": 0.9}
    found = observe.claims(other, {"σ'": 1e-6, "1/4": 2e-6, "1": 1e-5}, "no")
    assert [claim.verdict for claim in found] == ["holds", "false", "false", "false", "false"]
    other["sigmoid"] |= {"correct": 0.2}  # as much as ReLU reaches: it did not help
    assert observe.claims(other, {"σ'": 1e-6, "1/4": 2e-6, "1": 1.0}, "no")[3].verdict != "holds"


def test_nothing_is_said_of_slow_weights_if_there_are_none(rows):
    fast = {name: row | {"ratios": np.full(3, 1e-3)} for name, row in rows.items()}
    found = observe.claims(fast, {"σ'": 1e-6, "1/4": 2e-6, "1": 1.0}, "no")
    assert [claim.said for claim in found if claim.said.startswith("A weight should move")] == []
    assert len(found) == 4


# Options


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"depth": 1}, "--depth: at least 2, not 1"),
        ({"epochs": 0}, "--epochs: at least 1, not 0"),
        ({"seed": -1}, "--seed: at least 0, not -1"),
    ],
)
def test_wrong_options_are_one_sentence(options, sentence):
    with pytest.raises(UserError, match=sentence):
        observe.run(**options)


@pytest.mark.parametrize("stop", ["ReLU", "+ BatchNorm"])
def test_ctrl_c_keeps_the_nets_that_are_finished(monkeypatch, stop):
    def interrupted(name, *args):
        if name == stop:
            raise KeyboardInterrupt
        return watch(name, *args)

    monkeypatch.setattr(observe, "watch", interrupted)
    result = observe.run(depth=2, epochs=1)
    assert not result.complete
    assert list(result.numbers["rows"]) == list(STEPS)[: list(STEPS).index(stop)]
    assert not result.claims
    result.figure.draw_without_rendering()
