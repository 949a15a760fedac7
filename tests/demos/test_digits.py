"""The lesson on a good classifier: how good it is, what was watched, what is shown, and its options."""

import math

import numpy as np
import pytest

import minigrad as mg
from demos import datasets, digits
from demos.lesson import UserError


@pytest.fixture(scope="module")
def result():
    return digits.run()


def test_a_good_classifier_in_under_20_seconds(result):
    numbers = result.numbers
    assert numbers["epochs"][-1]["correct"] >= 0.975
    assert numbers["seconds"] < 20
    assert result.complete


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 4))
def test_with_any_seed(seed):
    assert digits.run(seed=seed).numbers["epochs"][-1]["correct"] >= 0.975


def test_the_share_correct_is_that_of_images_it_has_not_seen(result, images):
    """Counted again from the scores of the held-out images, none of which is a training image."""
    for row in result.numbers["epochs"]:
        right = np.argmax(row["scores"], axis=1) == images.y_held_out
        assert row["correct"] == np.mean(right)
        logs = row["scores"] - row["scores"].max(axis=1, keepdims=True)
        logs = logs - np.log(np.exp(logs).sum(axis=1, keepdims=True))
        assert row["loss"] == pytest.approx(-np.mean(logs[np.arange(359), images.y_held_out]))
    assert list(result.numbers["wrong"]) == list(np.flatnonzero(~right))
    seen = {image.tobytes() for image in images.x}
    assert sum(image.tobytes() in seen for image in images.x_held_out) == 0


def test_it_learns_from_nothing_but_the_training_images(images):
    """Other held-out labels change what is measured, but no training step."""
    shuffled = images._replace(y_held_out=images.y_held_out[::-1])
    runs = []
    for data in (images, shuffled):
        model = digits.network(16, np.random.default_rng(1))
        rows, _ = digits.train(model, data, 2, 0.003, 0.5, np.random.default_rng(2))
        runs.append((rows[-1]["correct"], model.state_dict()))
    (correct, before), (other, after) = runs
    assert correct > other
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_watching_changes_nothing(result):
    rng = np.random.default_rng(0)
    images, model = datasets.digits(rng), digits.network(128, rng)
    shuffled = digits.batches(images.x, images.y, 64, rng)
    optimizer = digits.AdamW(model.parameters(), digits.CosineDecay(0.003, 690, final=0.003 / 100), weight_decay=0.05)
    for x, y in shuffled:
        optimizer.zero_grad()
        mg.cross_entropy(model(x + 0.5 * rng.normal(size=x.shape)), y).backward()
        optimizer.step()
    assert digits.evaluate(model, images)["loss"] == result.numbers["epochs"][0]["loss"]


def test_evaluate_records_no_graph_and_leaves_the_model_as_it_was(images):
    model = digits.network(8, np.random.default_rng(0))
    before = model.state_dict()
    assert digits.evaluate(model, images)["scores"].shape == (359, 10)
    assert all(module.training for module in model.modules())
    assert all(np.array_equal(before[name], after) for name, after in model.state_dict().items())


def test_the_rate_falls_with_the_update_ratio(result):
    history = result.numbers["history"]
    ratios = history["update_ratio/layers.0.weight"]
    assert list(history["step"]) == list(range(0, 690, 5))
    assert ratios[0] == pytest.approx(0.017, rel=0.1)  # 0.003/√(2/64): Adam's first step is lr for every weight
    assert ratios[-1] < ratios[0] / 100


# What is shown


def test_the_table_shows_the_numbers(result):
    rows = {row["epoch"]: row for row in result.numbers["epochs"]}
    lines = [line.split() for line in result.table.split("\n\n")[1].split("\n")[2:]]
    assert [int(line[0]) for line in lines] == list(range(3, 31, 3))
    for epoch, loss, held_out, correct in lines:
        row = rows[int(epoch)]
        assert float(loss) == pytest.approx(np.mean(row["losses"]), abs=6e-5)
        assert float(held_out) == pytest.approx(row["loss"], abs=6e-5)
        assert correct == f"{row['correct']:.1%}"
    assert f"{rows[30]['correct']:.1%} correct, standard error" in result.table
    assert result.table.count("% sure") == len(result.numbers["wrong"]) <= 12
    assert "layers.6.weight" in result.table
    assert "∂L/∂W = dense · batch_norm · diag(ReLU'(batch_norm)) · dense · batch_norm" in result.table
    assert "What the monitor saw last, when the rate was almost 0 (hence the !): step 685, level norms" in result.table


def test_the_picture_shows_the_numbers(result, images):
    loss, correct, updates, mistakes = result.figure.axes
    numbers, history = result.numbers, result.numbers["history"]
    training, held_out = loss.lines
    assert np.array_equal(training.get_ydata(), np.concatenate([row["losses"] for row in numbers["epochs"]]))
    assert np.array_equal(held_out.get_ydata(), [row["loss"] for row in numbers["epochs"]])
    assert list(held_out.get_xdata()) == list(range(1, 31))
    assert np.array_equal(correct.lines[0].get_ydata(), [row["correct"] for row in numbers["epochs"]])
    assert len(updates.lines) == 3
    for line in updates.lines:
        assert np.array_equal(line.get_ydata(), history[f"update_ratio/{line.get_label()}"])
        assert np.allclose(line.get_xdata(), history["step"] / 23)
    assert len({(line.get_color(), line.get_linestyle()) for line in updates.lines}) == 3
    shown = mistakes.images[0].get_array()
    assert np.array_equal(shown[1:9, 1:9], images.x_held_out[numbers["wrong"][0]].reshape(8, 8))
    label, answer = mistakes.get_xticklabels()[0].get_text().split("→")
    assert int(label) == images.y_held_out[numbers["wrong"][0]]
    assert int(answer) == numbers["epochs"][-1]["scores"][numbers["wrong"][0]].argmax()
    assert result.figure.get_supxlabel().startswith("How to read: ")


def test_each_claim_has_its_verdict(result):
    first, stop, sure, dead = result.claims
    assert first.verdict == "holds if the last layer starts small"
    assert first.measured.startswith(f"{result.numbers['epochs'][0]['losses'][0]:.2f}, and 2.3")
    assert stop.verdict == "false"
    assert f"at the end {result.numbers['epochs'][-1]['correct']:.1%}" in stop.measured
    assert sure.verdict == "false"
    assert dead.verdict == "false"
    assert "up to 0% of its units dead" in dead.measured


def test_other_numbers_give_other_verdicts(result):
    scores = np.full((100, 10), -20.0)
    scores[:, 0] = 20
    monitor = type(
        "Monitor", (), {"history": {f"{q}/layers.{i}": [0.9] for i in (2, 5) for q in ("activation_zeros", "dead")}}
    )
    rows = [
        {"epoch": 1, "losses": [math.log(10)], "loss": 0.1, "correct": 0.95, "scores": scores},
        {"epoch": 2, "losses": [0.1], "loss": 0.2, "correct": 0.80, "scores": scores},
    ]
    found = digits.claims(rows, monitor, error=0.01, small=math.log(10))
    assert [claim.verdict for claim in found] == 4 * ["holds"]
    assert digits.claims(rows, monitor, error=0.2, small=9.0)[1].verdict == "false"


# Options


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"epochs": 0}, "--epochs: at least 1, not 0"),
        ({"hidden": 0}, "--hidden: at least 1, not 0"),
        ({"noise": -0.5}, "--noise: from 0 to 10, not -0.5"),
        ({"noise": math.nan}, "--noise: from 0 to 10, not nan"),
        ({"noise": math.inf}, "--noise: from 0 to 10, not inf"),
        ({"rate": 0.0}, "--rate: above 0 and below 1, not 0"),
        ({"rate": 1.0}, "--rate: above 0 and below 1, not 1"),
        ({"seed": -1}, "--seed: at least 0, not -1"),
    ],
)
def test_wrong_options_are_one_sentence(options, sentence):
    with pytest.raises(UserError, match=sentence):
        digits.run(**options)


def test_many_mistakes_are_shown_as_the_first_twelve():
    result = digits.run(epochs=1, hidden=1, rate=0.9, seed=1)
    assert len(result.numbers["wrong"]) > 12
    assert result.table.count("% sure") == len(result.figure.axes[3].get_xticklabels()) == 12
    result.figure.draw_without_rendering()


def test_ctrl_c_keeps_the_epochs_that_are_finished(monkeypatch):
    evaluate, calls = digits.evaluate, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return evaluate(*args)

    monkeypatch.setattr(digits, "evaluate", interrupted)
    result = digits.run(epochs=5, hidden=8)
    assert [row["epoch"] for row in result.numbers["epochs"]] == [1, 2]
    assert not result.complete
    assert list(result.figure.axes[1].lines[0].get_xdata()) == [1, 2]
