"""The lesson on vanishing gradients: its numbers against NumPy, its picture against its table, its options."""

import math

import numpy as np
import pytest
from matplotlib.text import Text

import minigrad as mg
from demos import vanishing
from demos.deep import RATE, RECIPES, Comparison
from demos.lesson import UserError, main

CAUSES = ("activation type", "operating point", "weights", "norm", "skip", "other")


@pytest.fixture(scope="module")
def result():
    return vanishing.run(depth=6, width=12, epochs=1)


def test_gradients_against_numpy(images):
    """A sigmoid network multiplied out by hand, forward and back."""
    nets = Comparison(depth=5, width=10, epochs=1, images=images, seed=2)
    model = nets.network("sigmoid-xavier", 5, np.random.default_rng(2))
    weights = [p.data for p in model.parameters() if p.ndim == 2]
    h, zs, hs = images.x[:256], [], []
    for w in weights:
        zs.append(h @ w)
        h = 1 / (1 + np.exp(-zs[-1]))
        hs.append(h)
    p = np.exp(zs[-1]) / np.exp(zs[-1]).sum(axis=1, keepdims=True)
    g = (p - np.eye(10)[images.y[:256]]) / 256
    gradients = [g]
    for w, h in zip(weights[:0:-1], hs[-2::-1], strict=True):
        g = (g @ w.T) * h * (1 - h)
        gradients.insert(0, g)
    row = nets.probe("sigmoid-xavier")
    assert np.allclose(row["gradient"], [np.linalg.norm(g) for g in gradients], rtol=1e-10, atol=0)
    assert np.allclose(row["signal"], [np.sqrt(np.mean(z**2)) for z in zs], rtol=1e-12, atol=0)
    assert row["decades"] == pytest.approx(math.log10(np.linalg.norm(gradients[0]) / np.linalg.norm(gradients[-1])))


def test_causes_add_up_to_the_decades(result):
    for name, row in result.numbers["rows"].items():
        total = sum(row["ledger"][cause] for cause in CAUSES)
        assert total == pytest.approx(row["decades"], abs=1e-9), name
        assert len(row["gradient"]) == len(row["signal"]) == (3 if name == "fewer-layers" else 7)
        assert row["decades"] == pytest.approx(math.log10(row["gradient"][0] / row["gradient"][-1]))


@pytest.mark.parametrize("kernels", ["definition", "numpy"])
def test_causes_add_up_however_the_loss_is_computed(images, kernels):
    """By its definition the loss is four factors, and none of them lies between y and z1."""
    nets = Comparison(depth=3, width=8, epochs=0, images=images, seed=0)
    with mg.kernels.use(kernels):
        rows = {name: nets.probe(name) for name in RECIPES}
    for name, row in rows.items():
        assert sum(row["ledger"][cause] for cause in CAUSES) == pytest.approx(row["decades"], abs=1e-9), name


def test_depths_end_with_the_network_itself(result):
    assert result.numbers["depths"] == [5, 6]
    for row in result.numbers["rows"].values():
        assert row["by depth"][-1] == pytest.approx(row["decades"], rel=1e-12)


def test_fifty_layers_lose_what_the_lesson_says(images):
    nets = Comparison(depth=50, width=100, epochs=0, images=images, seed=0)
    sigmoid = nets.probe("sigmoid-xavier")
    assert sigmoid["decades"] < -25
    assert sigmoid["chain"].ledger().total["activation type"] == pytest.approx(-50 * math.log10(4))
    assert abs(nets.probe("relu-he")["decades"]) < 3
    assert abs(nets.probe("residual")["decades"]) < 1
    assert nets.probe("residual-large")["decades"] > 5


def test_what_a_dense_block_and_lsuv_build(images):
    nets = Comparison(depth=9, width=16, epochs=1, images=images, seed=0)
    shapes = [p.shape for p in nets.network("dense-block", 9, np.random.default_rng(0)).parameters() if p.ndim == 2]
    assert shapes == [*((64 + 12 * k, 12) for k in range(9)), (64 + 12 * 9, 10)]
    signal = nets.probe("elu-lsuv")["signal"]
    assert signal.min() > 1 - 1e-12  # the variance is 1, but the mean of z is not quite 0
    assert signal.max() < 1.1
    first, *_ = (p.data for p in nets.network("tanh-orthogonal", 9, np.random.default_rng(0)).parameters())
    assert np.allclose(first.T @ first, np.eye(16))
    assert len(nets.network("fewer-layers", 9, np.random.default_rng(0))) == 5


def test_fifty_layers_keep_the_gradient_in_the_newer_ways(images):
    nets = Comparison(depth=50, width=100, epochs=0, images=images, seed=0)
    for name in ("dense-block", "elu-lecun", "elu-lsuv", "tanh-orthogonal", "fewer-layers"):
        assert abs(nets.probe(name)["decades"]) < 2, name


@pytest.mark.slow
def test_fifty_layers_with_shortcuts_learn_and_sigmoids_do_not(images):
    """At the lesson's depth and width; three of its eight epochs are enough."""
    nets = Comparison(depth=50, width=100, epochs=3, images=images, seed=0)
    correct = {name: nets.train(name)[1] for name in ("residual", "dense-block", "elu-lsuv")}
    assert min(correct.values()) >= 0.9
    assert correct["residual"] >= 0.95
    sigmoid = {k: nets.train("sigmoid-xavier", k * RATE)[1] for k in (1, 10, 100, 1000)}
    assert sigmoid.pop(1) < 0.15  # a guess is right one time in ten
    assert max(sigmoid.values()) < 0.3


def test_training_learns(images):
    loss, correct = Comparison(depth=2, width=32, epochs=5, images=images, seed=0).train("residual")
    assert correct > 0.9
    assert loss < 0.4


def test_training_that_diverges_says_so(images):
    nets = Comparison(depth=40, width=30, epochs=2, images=images, seed=0)
    assert nets.train("residual-large", rate=0.1) == (math.inf, 0.0)


def test_the_same_seed_gives_the_same_numbers(result):
    again = vanishing.run(depth=6, width=12, epochs=1)
    assert str(again) == str(result)
    other = vanishing.run(depth=6, width=12, epochs=1, seed=1, rows=("tanh-xavier",))
    assert other.numbers["rows"]["tanh-xavier"]["loss"] != result.numbers["rows"]["tanh-xavier"]["loss"]


def test_small_residual_blocks_are_divided_by_the_root_of_the_depth(images):
    nets = Comparison(depth=9, width=16, epochs=1, images=images, seed=0)
    small, large = (nets.network(name, 9, np.random.default_rng(0)) for name in ("residual", "residual-large"))
    for p, q in zip(list(small.parameters())[:-2], list(large.parameters())[:-2], strict=True):
        assert np.allclose(p.data * 3, q.data)


# What is shown


def test_the_picture_shows_the_numbers(result):
    axes = {ax.get_title(): ax for ax in result.figure.axes}
    shown = {
        "gradient": axes["gradient at each layer before training"],
        "signal": axes["signal"],
        "by depth": axes["‖∂L/∂z1‖ against ‖∂L/∂y‖"],
    }
    for quantity in ("gradient", "signal"):
        assert list(shown[quantity].get_xticks()) == [0, 1, 2, 3, 4, 5, 6]  # whole numbers only
    for quantity, ax in shown.items():
        lines = {line.get_label(): line for line in ax.lines}
        assert set(lines) == set(RECIPES)
        for name, line in lines.items():
            assert np.array_equal(line.get_ydata(), result.numbers["rows"][name][quantity])
    assert shown["gradient"].get_yscale() == shown["signal"].get_yscale() == "log"
    assert list(shown["by depth"].lines[0].get_xdata()) == [5, 6]
    assert len({(line.get_color(), line.get_linestyle()) for line in shown["signal"].lines}) == len(RECIPES)
    assert result.figure.get_supxlabel().startswith("How to read: ")


def test_the_picture_can_be_read_in_the_readme(result):
    """There it is some 700 pixels wide."""
    letters = [text.get_fontsize() for text in result.figure.findobj(Text) if text.get_text()]
    assert 700 * min(letters) / 72 / result.figure.get_figwidth() > 8


def test_the_table_shows_the_numbers(result):
    lines = {line.split()[0]: line.replace("−", "-").split() for line in result.table.split("\n") if line}
    for name, row in result.numbers["rows"].items():
        first, last, decades, kind, point, weights, others, loss, correct = lines[name][1:]
        ledger = row["ledger"]
        wanted = [row["decades"], ledger["activation type"], ledger["operating point"], ledger["weights"]]
        assert [float(x) for x in (decades, kind, point, weights)] == pytest.approx(wanted, abs=0.006)
        assert float(others) == pytest.approx(ledger["norm"] + ledger["skip"] + ledger["other"], abs=0.006)
        assert [float(first), float(last)] == pytest.approx([row["gradient"][0], row["gradient"][-1]], rel=0.06)
        assert float(loss) == pytest.approx(row["loss"], abs=0.006)
        assert correct == f"{row['correct']:.1%}"


def test_the_chain_of_the_sigmoid_network_is_printed(result):
    chain = result.numbers["rows"]["sigmoid-xavier"]["chain"]
    assert chain in result.table
    assert "diag(σ'(z1))" in chain
    assert "ledger  activation type −3.61" in chain  # 6·log₁₀ 4


def row(decades, correct, point=0.0):
    return {"decades": decades, "correct": correct, "ledger": {"operating point": point}, "raised": {}}


def verdicts(rows, depth=50):
    return {claim.said.split(" (")[0]: claim.verdict for claim in vanishing.claims(rows, depth)}


AS_KNOWN = {
    "sigmoid-constant": row(-33, 0.1),
    "sigmoid-uniform": row(-42, 0.1),
    "sigmoid-xavier": row(-31, 0.1, point=-1.2) | {"raised": {10: 0.1, 100: 0.12}},
    "tanh-xavier": row(-0.8, 0.95),
    "relu-xavier": row(-7.5, 0.1),
    "relu-he": row(0.3, 0.3),
    "leaky-he": row(0.3, 0.3),
    "sigmoid-batchnorm": row(0.4, 0.97),
    "relu-batchnorm": row(3.9, 0.2),
    "residual": row(0.3, 0.98),
    "residual-relu": row(0.1, 0.97),
    "residual-large": row(7.5, 0.0),
    "dense-block": row(-0.3, 0.98),
    "elu-lecun": row(-0.9, 0.89),
    "elu-lsuv": row(0.7, 0.96),
    "tanh-orthogonal": row(-0.7, 0.97),
    "fewer-layers": row(-1.2, 0.4) | {"raised": {10: 0.9}},
}


def test_claims_follow_the_numbers():
    found = vanishing.claims(AS_KNOWN, 50)
    assert [claim.verdict for claim in found] == [
        "holds",
        "false",
        "false",
        "false",
        "holds if φ'(0) = 1",
        "holds",
        "holds if the weights are He's",
        "holds",
        "false",
        "holds if the activation is not ReLU",
        "holds if the blocks start small",
        "holds if the rate is raised, too",
    ]
    assert "0.62 per layer" in found[0].measured
    assert "4% of the decades" in found[1].measured
    assert "×10: 10%, ×100: 12% correct" in found[2].measured
    assert "residual-large +7.5 decades, diverged" in found[-2].measured
    assert "×10: 90%" in found[-1].measured
    assert found[-1].measured.startswith("2 layers of sigmoids")
    assert vanishing.claims(AS_KNOWN, 1)[-1].measured.startswith("1 layers of sigmoids")


OTHERWISE = {
    "A sigmoid layer costs": ({"sigmoid-xavier": row(-20, 0.1, -1)}, "holds if the weights do not make up for it"),
    "Gradients vanish because": ({"sigmoid-xavier": row(-31, 0.1, point=-20)}, "holds"),
    "Against vanishing": ({"sigmoid-xavier": row(-31, 0.1, -1) | {"raised": {10: 0.9}}}, "holds"),
    "Start with small": ({"sigmoid-uniform": row(-5, 0.1)}, "holds"),
    "Xavier's weights keep": ({"sigmoid-xavier": row(-1, 0.1, -1)}, "holds"),
    "ELU learns": ({"elu-lecun": row(-0.9, 0.2)}, "false"),
    "Better first weights": ({"elu-lsuv": row(0.7, 0.5)}, "false"),
    "Use fewer": ({"fewer-layers": row(-1.2, 0.9) | {"raised": {10: 0.1}}}, "holds"),
    "ReLU does away": ({"relu-he": row(-9, 0.1)}, "false"),
    "A network learns": ({"relu-he": row(0.3, 0.9)}, "holds"),
    "BatchNorm solves": ({"relu-batchnorm": row(0.1, 0.95)}, "holds"),
    "Shortcuts solve": ({"residual": row(0.3, 0.5)}, "false"),
}


@pytest.mark.parametrize("said", OTHERWISE)
def test_other_numbers_give_another_verdict(said):
    changed, verdict = OTHERWISE[said]
    found = {key: value for key, value in verdicts(AS_KNOWN | changed).items() if key.startswith(said)}
    assert list(found.values()) == [verdict]


def test_claims_about_networks_that_were_not_run_are_left_out():
    assert list(verdicts({name: AS_KNOWN[name] for name in ("relu-he", "relu-xavier")})) == [
        "ReLU does away with vanishing gradients"
    ]
    assert verdicts({}) == {}


# Options, and what can go wrong


def test_chosen_rows_only():
    result = vanishing.run(depth=2, width=8, epochs=1, rows=("residual", "relu-he"))
    assert list(result.numbers["rows"]) == ["relu-he", "residual"]
    assert "The chain to the first weight" not in result.table
    assert result.complete


def test_one_unit_and_dead_networks_are_shown_too():
    """Fifty ReLU layers of one unit: the gradient is exactly 0, which is −∞ decades."""
    result = vanishing.run(depth=50, width=1, epochs=1, rows=("relu-he", "sigmoid-batchnorm", "residual"))
    assert result.numbers["rows"]["relu-he"]["decades"] == -math.inf
    assert "—" in result.table
    result.figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"depth": 0}, "--depth: at least 1, not 0"),
        ({"width": -3}, "--width: at least 1, not -3"),
        ({"epochs": 0}, "--epochs: at least 1, not 0"),
        ({"seed": -1}, "--seed: at least 0, not -1"),
        ({"rows": ("selu",)}, "--rows: choose from sigmoid-constant, "),
        ({"data": "mnist"}, "mnist needs the folder"),
        ({"data": "mnist", "data_dir": "nowhere"}, "there is no folder nowhere"),
    ],
)
def test_wrong_options_are_one_sentence(options, sentence):
    with pytest.raises(UserError, match=sentence):
        vanishing.run(**options)


def test_ctrl_c_keeps_the_rows_that_are_finished(monkeypatch):
    train = Comparison.train

    def interrupted(self, name, *rate):
        if name == "sigmoid-xavier":
            raise KeyboardInterrupt
        return train(self, name, *rate)

    monkeypatch.setattr(Comparison, "train", interrupted)
    result = vanishing.run(depth=2, width=8, epochs=1)
    assert not result.complete
    assert list(result.numbers["rows"]) == ["sigmoid-constant", "sigmoid-uniform"]
    assert "sigmoid-uniform" in result.table
    assert len(result.figure.axes[0].lines) == 2


def test_as_a_command_on_mnist_files(capsys, tmp_path):
    rng = np.random.default_rng(0)
    for name, array in {"images-idx3": rng.integers(0, 256, (300, 5, 5)), "labels-idx1": np.arange(300) % 10}.items():
        head = np.array([2048 + array.ndim, *array.shape], ">u4").tobytes()
        (tmp_path / f"t10k-{name}-ubyte").write_bytes(head + array.astype(np.uint8).tobytes())
    options = f"--depth 2 --width 6 --epochs 1 --rows tanh-xavier --data mnist --data-dir {tmp_path} --out {tmp_path}"
    assert main(["vanishing", *options.split()]) == 0
    assert "MNIST (test files only): 240 images to learn from, 60 held out; 2 hidden layers" in capsys.readouterr().out
    assert (tmp_path / "vanishing.png").read_bytes().startswith(b"\x89PNG")
