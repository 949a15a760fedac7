"""The lesson on shortcuts: its networks and its probe against NumPy, deleting a block, its picture, its options."""

import math

import numpy as np
import pytest

import minigrad as mg
from demos import shortcuts
from demos.blocks import BLOCKS, GROWTH, deleted, network, probe
from demos.lesson import UserError, main
from layers import Sequential

WITH_SHORTCUT = BLOCKS[1:]


@pytest.fixture(scope="module")
def result():
    return shortcuts.run(**shortcuts.QUICK)


def weights_of(model):
    """(W, b) of every block."""
    found = [p.data for p in model.parameters()]
    return list(zip(found[1:-2:2], found[2:-2:2], strict=True))


def relu(x):
    return np.maximum(x, 0)


STEPS = {
    "plain": lambda h, w, b: relu(h @ w + b),
    "residual": lambda h, w, b: h + relu(h) @ w + b,
    "residual-relu": lambda h, w, b: relu(h + h @ w + b),
    "dense": lambda h, w, b: np.concatenate([h, relu(h @ w + b)], axis=1),
}


# What the networks are


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_against_numpy_and_what_stands_in_their_place(name, images):
    model = network(name, depth=4, width=6, rng=np.random.default_rng(0))
    x = images.x[:5]
    states = [x @ model[0].weight.data]
    for w, b in weights_of(model):
        states.append(STEPS[name](states[-1], w, b))
    y = states[-1] @ model[-1].weight.data + model[-1].bias.data
    assert np.allclose(model(x).numpy(), y, rtol=1e-12, atol=1e-12)
    for block, h in zip(model[1:-1], states[:-1], strict=True):
        zeros = np.zeros((5, GROWTH))
        wanted = np.concatenate([h, zeros], axis=1) if name == "dense" else h
        assert np.array_equal(mg.tensor(deleted(block)(h)).numpy(), wanted)


@pytest.mark.parametrize("name", WITH_SHORTCUT)
def test_a_deleted_block_is_one_whose_weights_are_zero(name, images):
    model = network(name, depth=3, width=6, rng=np.random.default_rng(1))
    without = Sequential(*model[:2], deleted(model[2]), *model[3:])
    for p in model[2].parameters():
        p.data *= 0
    x = relu(images.x[:5])  # ≥ 0, as the h of every residual-relu block but the first
    assert np.allclose(model(x).numpy(), without(x).numpy(), rtol=1e-12, atol=1e-12)


# What is measured


def test_a_plain_network_multiplied_out_by_hand(images):
    model = network("plain", depth=3, width=7, rng=np.random.default_rng(2))
    found = probe(model, images)
    spectra = []
    for x in images.x[:4]:
        h, product = x @ model[0].weight.data, np.eye(7)
        for w, b in weights_of(model):
            z = h @ w + b
            product, h = product @ w * (z > 0), relu(z)
        spectra.append(np.linalg.svd(product, compute_uv=False))
    wanted = np.median(spectra, axis=0)
    assert np.allclose(found["all blocks"], np.where(wanted > 1e-14 * wanted[0], wanted, 0), rtol=1e-9, atol=0)
    assert found["count"] == 1
    assert found["parts"].tolist() == [0, 0, 0, 1]
    assert found["within"] == 3
    assert found["around"] == 0


def test_the_way_around_residual_blocks(images):
    """Around all blocks comes ∂L/∂h as the last block received it; all paths together are the gradient."""
    model = network("residual", depth=3, width=7, rng=np.random.default_rng(2))
    found = probe(model, images)
    x, y = images.x[:64], images.y[:64]
    h, opened = x @ model[0].weight.data, []
    for w, b in weights_of(model):
        opened.append(h > 0)
        h = h + relu(h) @ w + b
    logits = h @ model[-1].weight.data + model[-1].bias.data
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    to_logits = (p - np.eye(10)[y]) / 64
    g = around = to_logits @ model[-1].weight.data.T
    for (w, _), mask in zip(weights_of(model)[::-1], opened[::-1], strict=True):
        g = g + (g @ w.T) * mask
    assert found["around"] == pytest.approx(np.linalg.norm(around) / np.linalg.norm(g), rel=1e-10)
    assert found["decades"] == pytest.approx(math.log10(np.linalg.norm(g) / np.linalg.norm(to_logits)))
    assert found["count"] == 2**3


def test_paths_double_with_every_block_and_their_shares_add_up(rows):
    for name, row in rows.items():
        for when in ("new", "trained"):
            look = row[when]
            assert look["count"] == (1 if name == "plain" else 2**10)
            assert look["parts"].sum() == pytest.approx(1)
            assert look["parts"][: look["within"] + 1].sum() >= 0.9 > look["parts"][: look["within"]].sum()
            assert np.all(np.diff(look["all blocks"]) <= 0)
            assert look["extent"].tolist() == [look["all blocks"][k] for k in (-1, 16, 0)]


# What the lesson claims


def test_a_missing_block_is_hardly_missed_where_there_are_shortcuts(rows):
    lost = {name: row["correct"] - np.mean(row["without"]) for name, row in rows.items()}
    assert lost["plain"] > 0.5
    for name in WITH_SHORTCUT:
        assert rows[name]["correct"] > 0.9
        assert lost[name] < lost["plain"] / 3


def test_paths_through_few_blocks_bring_the_gradient(rows):
    for name in WITH_SHORTCUT:
        assert rows[name]["new"]["within"] <= rows[name]["trained"]["within"] <= 5
    assert rows["plain"]["new"]["within"] == 10


def test_directions_survive_a_free_way_around(rows):
    for when in ("new", "trained"):
        smallest = {name: row[when]["extent"][0] for name, row in rows.items()}
        assert smallest["dense"] >= 1  # the output contains h₀ itself
        assert smallest["residual"] > 0.05
        assert smallest["plain"] == smallest["residual-relu"] == 0
    assert abs(rows["plain"]["new"]["decades"]) < 1  # although the norm of the gradient is kept
    assert np.sum(rows["plain"]["new"]["all blocks"] > 0.01) < 16


def known(within=5, lost=0.01, free=0.2, relu_way=0.0, kept=9, direct=0.2):
    every = np.where(np.arange(32) < kept, 1.0, 0.0)
    parts = np.array([direct / 2, direct / 2, 0.9 - direct, 0.1])
    look = {"count": 2**20, "within": within, "parts": parts, "decades": 0.1, "all blocks": every}
    smallest = {"plain": 0.0, "residual": free, "residual-relu": relu_way, "dense": 1.0}
    missing = {"plain": 0.7, "residual": lost, "residual-relu": 0.02, "dense": 0.02}
    rows = {}
    for name in BLOCKS:
        looks = look | {"extent": np.array([smallest[name], every[16], 1.0])}
        rows[name] = {"new": looks, "trained": looks, "correct": 0.95, "without": 4 * [0.95 - missing[name]]}
    return rows


def test_claims_follow_the_numbers():
    found = shortcuts.claims(known(), 20)
    assert [claim.verdict for claim in found] == [
        "holds",
        "holds",
        "holds if no activation is on the shortcut",
        "false",
        "false",
    ]
    assert "of 1,048,576 paths, those through 5 of 20 blocks" in found[0].measured
    assert "plain −70.0%, residual −1.0%" in found[1].measured
    better = known()
    better["residual"]["without"] = [0.96]
    assert "residual +1.0%" in shortcuts.claims(better, 20)[1].measured
    assert "9 of 32 directions" in found[3].measured
    assert found[4].measured == "20% of the gradient passes one stage at most, half of it at most 2"
    assert shortcuts.claims(known(direct=1.0), 20)[4].measured.endswith("half of it at most 0")


def test_a_plain_network_that_hardly_misses_a_layer_can_do_without_it():
    untrained = known() | {"plain": known()["plain"] | {"correct": 0.28}}  # 0.25 with one layer deleted
    untrained["residual"]["without"] = untrained["residual-relu"]["without"] = untrained["dense"]["without"] = [0.96]
    claim = shortcuts.claims(untrained, 20)[1]
    assert claim.measured.startswith("correct: plain −3.0%, residual +1.0%")
    assert claim.verdict == "false"


@pytest.mark.parametrize(
    ("changed", "i", "verdict"),
    [
        ({"within": 11}, 0, "false"),
        ({"lost": 0.4}, 1, "false"),
        ({"free": 0.0}, 2, "false"),
        ({"relu_way": 0.1}, 2, "holds"),
        ({"kept": 30}, 3, "holds"),
        ({"direct": 0.6}, 4, "holds"),
    ],
)
def test_other_numbers_give_another_verdict(changed, i, verdict):
    assert shortcuts.claims(known(**changed), 20)[i].verdict == verdict


# What is shown


def test_the_picture_shows_the_numbers(result, rows):
    axes = {ax.get_title(): ax for ax in result.figure.axes}
    shown = {
        "∂L/∂h₀ by paths, new": lambda row: row["new"]["parts"],
        "∂L/∂h₀ by paths, trained": lambda row: row["trained"]["parts"],
        "singular values of all blocks, new": lambda row: row["new"]["all blocks"],
        "singular values of all blocks, trained": lambda row: row["trained"]["all blocks"],
        "singular values of the middle block, new": lambda row: row["new"]["one block"],
        "correct without one block": lambda row: row["without"],
    }
    assert set(axes) == set(shown)
    for title, of in shown.items():
        for line, (name, row) in zip(axes[title].lines, rows.items(), strict=True):
            assert line.get_label() == name
            assert np.array_equal(line.get_ydata(), of(row))
            assert line.get_xdata()[0] == (0 if "paths" in title else 1)  # the largest is the 1st, block 1 the first
        assert len({line.get_linestyle() for line in axes[title].lines}) == len(BLOCKS)
    assert axes["correct without one block"].lines[0].get_xdata().tolist() == list(range(1, 11))
    assert result.figure.get_supxlabel().startswith("How to read: ")


def test_the_table_shows_the_numbers(result, rows):
    lines = {line.split("  ")[0]: line.replace("−", "-") for line in result.table.split("\n")}
    for name, row in rows.items():
        for when in ("new", "trained"):
            cells = lines[f"{name}, {when}"].split()[2:]
            look = row[when]
            assert float(cells[0]) == pytest.approx(look["decades"], abs=0.006)
            assert int(cells[1]) == look["within"]
            assert [float(cell) for cell in cells[2:6]] == pytest.approx([look["around"], *look["extent"]], rel=0.06)
        shares = [row["correct"], np.mean(row["without"]), min(row["without"])]
        assert cells[6:] == [f"{share:.1%}" for share in shares]
    assert "(I + diag(ReLU'(z1)) · W2ᵀ)" in result.table


# Options, and what can go wrong


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"depth": 1}, "--depth: at least 2, not 1"),
        ({"width": 1}, "--width: at least 2, not 1"),
        ({"epochs": 0}, "--epochs: at least 1, not 0"),
        ({"seed": -1}, "--seed: at least 0, not -1"),
    ],
)
def test_wrong_options_are_one_sentence(options, sentence):
    with pytest.raises(UserError, match=sentence):
        shortcuts.run(**options)


def test_a_network_of_dead_units_is_shown_too():
    result = shortcuts.run(depth=10, width=2, epochs=1)
    assert "—" in result.table
    result.figure.draw_without_rendering()


def test_ctrl_c_keeps_the_networks_that_are_finished(monkeypatch, capsys, tmp_path):
    def interrupted(name, *sizes):
        if name == "residual-relu":
            raise KeyboardInterrupt
        return network(name, *sizes)

    monkeypatch.setattr(shortcuts, "network", interrupted)
    assert main(["shortcuts", *f"--depth 3 --width 4 --epochs 1 --out {tmp_path}".split()]) == 130
    shown = capsys.readouterr().out
    assert "residual, trained" in shown
    assert "residual-relu" not in shown
    assert "what the textbooks say" not in shown
    assert (tmp_path / "shortcuts.png").exists()


def test_the_same_seed_gives_the_same_numbers(monkeypatch):
    monkeypatch.setattr(shortcuts, "draw", lambda *rows: None)  # which takes most of the time
    first, again, other = (shortcuts.run(depth=3, width=4, epochs=1, seed=seed) for seed in (1, 1, 2))
    assert str(first) == str(again) != str(other)
