"""The lesson on BatchNorm: its Jacobian, large inputs, both kinds of statistics, what is shown, its options."""

import re

import numpy as np
import pytest

from demos import batchnorm, datasets
from demos.batchnorm import KINDS, PHI, RATES, SIZES, correct, inputs, jacobian, network, scaled
from demos.lesson import UserError
from layers import ReLU, Tanh


@pytest.fixture(scope="module")
def result():
    return batchnorm.run(**batchnorm.QUICK)


def test_the_jacobian_against_small_steps():
    """Differences of (x − μ)/s, in units of γ/s: with the statistics of the moved batch, and with fixed ones."""
    found = jacobian(4)
    x = np.random.default_rng(4).normal(3, 2, (8, 1))
    s = np.sqrt(x.var() + 1e-5)

    def normalised(x):
        return (x - x.mean()) / np.sqrt(x.var() + 1e-5)

    steps = 1e-6 * np.eye(8)[:, :, None]
    by_steps = np.stack([(normalised(x + h) - normalised(x - h)).ravel() / 2e-6 for h in steps], axis=1)
    assert np.allclose(found["training"], s * by_steps, atol=1e-8)
    assert np.allclose(found["eval()"], np.eye(8), atol=1e-12)
    assert found["error"] < 1e-14


def test_two_directions_are_lost_in_training(result):
    square = result.numbers["jacobian"]
    sizes = np.linalg.svd(square["training"])[1]
    assert np.allclose(sizes[:6], 1, atol=1e-12)
    assert sizes[6] < 1e-4  # not exactly 0, because of the eps in the root
    assert sizes[7] < 1e-14
    assert np.allclose(square["training"] @ np.ones(8), 0, atol=1e-14)


def test_normalised_inputs_are_alike_at_every_scale(images):
    assert np.array_equal(scaled(images, 16, False).x_held_out, 16 * images.x_held_out)
    small, large = scaled(images, 1, True), scaled(images, 16, True)
    assert np.allclose(small.x, large.x, atol=1e-12)
    assert np.allclose(scaled(images, batchnorm.SCALES["× 1/16 … 16"], True).x, small.x, atol=1e-12)
    deviation = images.x.std(axis=0)
    assert np.allclose(small.x.std(axis=0)[deviation > 0.1], 1)
    assert np.allclose(small.x.mean(axis=0), 0, atol=1e-12)
    assert np.abs(small.x_held_out).max() < 100


def test_large_inputs_do_no_harm_once_normalised(result):
    rows = result.numbers["rows"]
    for activation in PHI:
        for how in KINDS[1:]:
            once, large = rows[activation, "× 1", how], rows[activation, "× 16", how]
            assert large["weight"] == pytest.approx(once["weight"], rel=1e-3)
            assert np.allclose(large["correct"], once["correct"], atol=0.03)
    assert rows[ReLU, "× 16", "as they are"]["weight"] > 10 * rows[ReLU, "× 1", "as they are"]["weight"]
    assert rows[ReLU, "× 16", "as they are"]["correct"][1] < 0.5
    assert rows[ReLU, "× 16", "BatchNorm"]["correct"].min() > 0.85
    assert rows[Tanh, "× 16", "as they are"]["correct"][2] < 0.5
    assert rows[ReLU, "× 1", "BatchNorm"]["correct"][2] > rows[ReLU, "× 1", "inputs normalised"]["correct"][2] + 0.3


def test_batch_norm_behind_the_first_weights_does_not_mend_inputs_of_many_sizes(result):
    rows = result.numbers["rows"]
    for activation in PHI:
        once, uneven = ({how: rows[activation, to, how]["correct"] for how in KINDS} for to in ("× 1", "× 1/16 … 16"))
        assert max(uneven["BatchNorm"]) < max(once["BatchNorm"]) - 0.05
        assert np.allclose(uneven["inputs normalised"], once["inputs normalised"], atol=0.01)


def test_the_first_gradient_against_numpy():
    """ReLU without BatchNorm, multiplied out by hand."""
    row = inputs(ReLU, "× 16", "as they are", epochs=0, seed=3)
    rng = np.random.default_rng(3)
    data = datasets.digits(rng)
    w1, w2, w3 = (p.data for p in network(ReLU, False, rng).parameters() if p.ndim == 2)
    x = 16 * data.x[:256]
    z1 = x @ w1
    z2 = np.maximum(z1, 0) @ w2
    z3 = np.maximum(z2, 0) @ w3
    p = np.exp(z3 - z3.max(axis=1, keepdims=True))
    g = (p / p.sum(axis=1, keepdims=True) - np.eye(10)[data.y[:256]]) / 256
    g = ((g @ w3.T * (z2 > 0)) @ w2.T) * (z1 > 0)
    assert row["weight"] == pytest.approx(np.linalg.norm(x.T @ g), rel=1e-10)


def test_batch_statistics_need_large_mixed_batches(result):
    use = result.numbers["use"]
    assert use["running"] > 0.9
    assert use["mixed"][0] < 0.7
    assert use["mixed"][-1] == pytest.approx(use["running"], abs=0.03)
    assert max(use["sorted"][:4]) < 0.4
    assert use["sorted"][-1] == use["mixed"][-1]  # the last batch is all images, and their order does not matter
    assert use["mixed"][0] < use["mixed"][2] < use["mixed"][-1]


def test_asking_does_not_move_the_running_statistics(images):
    model = network(ReLU, True, np.random.default_rng(0))
    before = model.state_dict()
    correct(model, images, 16)
    assert all(np.array_equal(before[name], after) for name, after in model.state_dict().items())
    assert all(module.training for module in model.modules())


def test_correct_by_hand(images):
    """In NumPy: batches of about 120, each normalised with its own statistics."""
    model = network(Tanh, True, np.random.default_rng(1))
    w1, w2, w3 = (p.data for p in model.parameters() if p.ndim == 2)
    right = []
    for part in np.array_split(np.arange(359), 359 // 120):
        h = images.x_held_out[part]
        for w in (w1, w2):
            z = h @ w
            h = np.tanh((z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + 1e-5))
        right.extend((h @ w3).argmax(axis=1) == images.y_held_out[part])
    assert correct(model, images, 120) == np.mean(right)


def test_batches_have_the_size_that_is_printed(images):
    for size in SIZES:
        parts = np.array_split(images.y_held_out, len(images.y_held_out) // size)
        assert {len(part) for part in parts} <= {size, size + 1}


# What is shown


def test_the_tables_show_the_numbers(result):
    rows, shares, chain = (result.table.split("\n\n")[k].split("\n") for k in (0, 1, 3))
    for line, ((activation, scale, how), row) in zip(rows[2:], result.numbers["rows"].items(), strict=True):
        assert line.startswith(activation.__name__)
        assert f" {scale} " in line
        assert how in line
        *_, weight, first, second, third = line.split()
        assert float(weight) == pytest.approx(row["weight"], rel=0.06)
        assert [first, second, third] == [f"{share:.1%}" for share in row["correct"]]
    assert len(RATES) == 3
    assert shares[0].split()[-8:] == [str(size) for size in SIZES]
    for line, name in zip(shares[2:], ("mixed", "sorted"), strict=True):
        assert line.split() == [name, *(f"{share:.0%}" for share in result.numbers["use"][name])]
    assert "\n".join(chain) == result.numbers["use"]["chain"]
    assert "γ/s·(I − 11ᵀ/B − x̂x̂ᵀ/B)·g" in result.table


def test_the_picture_shows_the_numbers(result):
    square, axes = result.figure.axes[:2]
    assert np.array_equal(square.images[0].get_array(), result.numbers["jacobian"]["training"])
    use = result.numbers["use"]
    running, *lines = axes.lines
    assert set(running.get_ydata()) == {use["running"]}
    for line, name in zip(lines, ("mixed", "sorted"), strict=True):
        assert line.get_label().endswith(name)
        assert list(line.get_xdata()) == list(SIZES)
        assert np.array_equal(line.get_ydata(), use[name])
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 3
    assert result.figure.get_supxlabel().startswith("How to read: ")


def test_each_claim_has_its_verdict(result):
    assert [claim.verdict for claim in result.claims] == [
        "holds if eval() was called",
        "holds if all pixels share one scale",
        "holds if φ is ReLU",
        "holds if batches are large and mixed",
    ]
    assert result.claims[0].measured.startswith("2 of 8 directions lost in training, 0 after")
    assert re.match(r"accuracy −\d+% in pairs, −\d+% if sorted by digit, ", result.claims[-1].measured)


def test_other_numbers_give_other_verdicts(result):
    square, rows, use = (result.numbers[name] for name in ("jacobian", "rows", "use"))
    square = square | {"training": square["eval()"]}
    rows = {key: row | {"correct": np.full(3, 0.9 if key[1] == "× 1" else 0.8)} for key, row in rows.items()}
    use = use | {"mixed": [use["running"]], "sorted": [use["running"]]}
    assert [claim.verdict for claim in batchnorm.claims(square, rows, use)] == ["holds", "false", "false", "holds"]


# Options


@pytest.mark.parametrize("options", [{"epochs": 0}, {"seed": -1}])
def test_wrong_options_are_one_sentence(options):
    with pytest.raises(UserError, match="--epochs is at least 1 and --seed at least 0, not "):
        batchnorm.run(**options)


def test_ctrl_c_keeps_the_networks_that_are_finished(monkeypatch):
    def interrupted(activation, scale, how, *args):
        if how == "BatchNorm":
            raise KeyboardInterrupt
        return inputs(activation, scale, how, *args)

    monkeypatch.setattr(batchnorm, "inputs", interrupted)
    result = batchnorm.run(epochs=1)
    assert not result.complete
    assert list(result.numbers["rows"]) == [(Tanh, "× 1", "as they are"), (Tanh, "× 1", "inputs normalised")]
    assert not result.claims
