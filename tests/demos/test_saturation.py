"""The lesson on saturation: activations against formulas, four kinds of zero gradient, and what revives each."""

import math

import numpy as np
import pytest

from demos import saturation
from demos.datasets import digits
from demos.lesson import UserError
from demos.saturation import ACTIVATIONS, ALIVE, MAPS, NOTHINGS, REMEDIES


@pytest.fixture(scope="module")
def result():
    return saturation.run()


@pytest.fixture(scope="module")
def numbers(result):
    return result.numbers


def at_ten(numbers, name):
    """φ(−10), φ'(−10), φ(10), φ'(10)."""
    found = numbers["shapes"][name]
    assert (found["z"][0], found["z"][-1]) == (-10, 10)
    return [found[what][end] for end in (0, -1) for what in ("value", "slope")]


def test_activations_at_ten_against_formulas(numbers):
    s = 1 / (1 + math.exp(10))
    flat = 1 / math.cosh(10) ** 2
    assert at_ten(numbers, "sigmoid") == pytest.approx([s, s * (1 - s), 1 - s, s * (1 - s)], rel=1e-9)
    assert at_ten(numbers, "tanh") == pytest.approx([-math.tanh(10), flat, math.tanh(10), flat], rel=1e-7)
    assert at_ten(numbers, "relu") == [0, 0, 10, 1]
    assert at_ten(numbers, "leaky_relu") == [-0.1, 0.01, 10, 1]
    assert at_ten(numbers, "elu") == pytest.approx([math.expm1(-10), math.exp(-10), 10, 1])
    assert at_ten(numbers, "softplus")[1] == pytest.approx(s)
    assert at_ten(numbers, "silu")[0] == pytest.approx(-10 * s)
    assert at_ten(numbers, "softsign")[3] == pytest.approx(1 / 121)
    assert at_ten(numbers, "hard_tanh") == [-1, 0, 1, 0]


def test_saturated_is_a_tenth_of_the_largest_slope(numbers):
    """σ' = 0.1·1/4 at ln((1 + √0.9)/(1 − √0.9)) = 3.64; tanh' = 0.1 at half of that."""
    edge = math.log((1 + math.sqrt(0.9)) / (1 - math.sqrt(0.9)))
    for name, at in (("sigmoid", edge), ("tanh", edge / 2), ("relu", 0)):
        found = numbers["shapes"][name]
        flat = found["flat"] & (found["z"] <= 0)
        assert found["z"][flat].max() == pytest.approx(-at, abs=0.011)
    assert numbers["shapes"]["relu"]["flat"].mean() == pytest.approx(0.5, abs=0.001)


def test_where_slopes_are_0_in_float32(numbers):
    """1 − σ rounds to 0 where e⁻ᶻ < 2⁻²⁵; σ itself rounds to 0 where eᶻ < 2⁻¹⁵⁰, below z = −104."""
    shapes = numbers["shapes"]
    assert shapes["sigmoid"]["above"] == pytest.approx(-math.log(2.0**-25), abs=0.8)
    assert shapes["sigmoid"]["below"] == pytest.approx(math.log(2.0**-150), abs=0.1)
    assert (shapes["relu"]["below"], shapes["hard_tanh"]["above"]) == (0, 1)
    assert math.isnan(shapes["leaky_relu"]["below"])
    assert math.isnan(shapes["relu"]["above"])


def test_four_kinds_of_nothing(numbers):
    nothing = numbers["moved"]["none"]
    assert nothing["dead"] == nothing["underflowed"] == 0
    assert 0 < nothing["tiny"] < 1e-12
    assert math.isnan(nothing["not computed"])
    exact = numbers["moved"]["float64"]
    assert exact["dead"] == 0
    assert 0 < exact["underflowed"] < 1e-45  # below the smallest number of float32


def test_a_step_is_the_rate_times_the_gradient(numbers):
    loss, model = NOTHINGS["tiny"].loss(digits(0), 0)
    loss.backward()
    w = model[0].weight
    expected = 0.1 * np.linalg.norm(w.grad) / np.linalg.norm(w.data)
    assert numbers["moved"]["none"]["tiny"] == pytest.approx(expected, rel=1e-9)


def test_which_remedy_revives_which(numbers):
    revived = numbers["revived"]
    for remedy in ("none", "clipping", "Dropout", "Adam", "float64"):
        assert revived[remedy] == []
    for remedy in ("LeakyReLU, He", "ReLU, He, b = 0", "BatchNorm"):
        assert revived[remedy] == ["dead", "tiny", "underflowed"]
    assert revived["shortcuts"] == ["tiny", "underflowed"]
    assert revived["Adam, eps = 1e−30"] == ["tiny"]
    assert revived["not cut off"] == ["not computed"]


def test_a_network_as_it_comes_learns():
    assert saturation.Net().moves(digits(0), 0) > 100 * ALIVE


def test_large_weights_saturate_and_a_bias_kills(numbers):
    share = {name: np.concatenate([*layers.values()]) for name, layers in numbers["units"].items()}
    assert share["tanh"].mean() < 0.1
    assert share["tanh, weights × 8"].mean() > 0.7
    first = next(iter(numbers["units"]["ReLU, first bias −3"].values()))
    assert np.mean(first == 1) > 0.3  # dead
    assert not np.any(share["… and BatchNorm"] == 1)
    assert 0.4 < share["ReLU"].mean() < 0.6
    assert np.mean(share["ReLU"] == 1) < 0.1


@pytest.mark.parametrize("seed", [0, 5])
def test_each_claim_has_its_verdict(result, seed):
    found = (result if seed == 0 else saturation.run(seed=seed)).claims
    verdicts = [claim.verdict for claim in found]
    assert verdicts[0] == "holds if z > 0"
    assert verdicts[1].startswith("holds if z < 16.")
    assert verdicts[2:] == ["false", "false", "holds if eps is below the gradient"]
    assert "ReLU'(10) = 1, ReLU'(−10) = 0" in found[0].measured
    assert "clipping revives 0, Dropout 0" in found[3].measured


def test_the_picture_shows_the_numbers(result, numbers):
    axes = result.figure.axes
    assert [ax.get_title() for ax in axes[:10]] == list(ACTIVATIONS)
    for ax, found in zip(axes, numbers["shapes"].values(), strict=False):
        assert np.array_equal(ax.lines[0].get_ydata(), found["value"])
        assert np.array_equal(ax.lines[1].get_ydata(), found["slope"])
        assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()
    for ax, (name, layers) in zip(axes[10:], numbers["units"].items(), strict=True):
        assert ax.get_title(loc="left") == name
        assert np.array_equal(ax.collections[0].get_array(), np.array([*layers.values()]))
        assert not any("How to read" in text.get_text() for text in ax.texts)
        assert ax.collections[0].colorbar is None  # or Matplotlib 3.10 would keep room for the removed one
    assert list(numbers["units"]) == list(MAPS)
    assert result.figure.get_supxlabel().startswith("How to read: ")


def test_the_tables_show_the_numbers(result, numbers):
    blocks = result.table.replace("−", "-").replace("—", "nan").split("\n\n")
    for line, (name, found) in zip(blocks[1].split("\n")[2:], numbers["shapes"].items(), strict=True):
        shown, *ends, saturated, below, above = line.split()
        assert shown == name
        wanted = [*found["value"][[0, -1]], *found["slope"][[0, -1]]]
        assert [float(cell) for cell in ends] == pytest.approx(wanted, rel=1e-5)
        assert float(saturated[:-1]) == pytest.approx(100 * found["flat"].mean(), abs=0.51)
        assert [float(below), float(above)] == pytest.approx([found["below"], found["above"]], nan_ok=True, rel=1e-4)
    lines = blocks[-1].split("\n")[2:]
    for line, (remedy, row) in zip(lines, numbers["moved"].items(), strict=True):
        name = remedy.replace("−", "-")
        assert line.startswith(name)
        cells = line.removeprefix(name).split(maxsplit=4)
        assert [float(cell) for cell in cells[:4]] == pytest.approx(list(row.values()), rel=1e-5, abs=0, nan_ok=True)
        assert "".join(cells[4:]) == ", ".join(numbers["revived"][remedy])
    assert list(numbers["moved"]) == list(REMEDIES)


def test_the_chain_of_the_tiny_gradient(result):
    assert "diag(σ'(z1))" in result.table
    assert "activation type −12.04" in result.table  # 20·log₁₀ 4
    assert "the factors multiplied out = ∂L/∂W1" in result.table


def test_wrong_seed():
    with pytest.raises(UserError, match="--seed: at least 0, not -1"):
        saturation.run(seed=-1)
