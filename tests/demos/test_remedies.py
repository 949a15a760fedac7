"""The comparison of remedies: the same bits in every process, its numbers against NumPy, its verdicts, its picture."""

import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from demos import remedies, runs
from demos.lesson import UserError, main
from demos.runs import OPTIMIZERS, REMEDIES, Run, executor, measure, network, spread
from layers import BatchNorm, Dense, Dropout

MNIST = Path(os.environ.get("MNIST_DIR", "no folder"))
SMALL = Run("none", "SGD", 0.0, 3, 2, 8, 1, ("digits", None, 0, "float64"), "numpy")


@pytest.fixture(scope="module")
def result():
    return remedies.run(**remedies.QUICK | {"repeats": 1})


def same(a, b):
    return all(np.array_equal(a[key], b[key], equal_nan=True) for key in a)


# What the lesson claims


def test_only_weights_of_the_right_size_or_batchnorm_help_sgd(rows):
    correct = {remedy: rows[remedy, "SGD"]["correct"][0] for remedy in REMEDIES}
    assert all(correct[remedy] < 0.2 for remedy in ("none", "clipping", "L2", "L1", "dropout", "plateau"))
    assert correct["He"] > 0.8
    assert correct["BatchNorm"] > 0.9


def test_adam_does_not_mind_small_gradients(rows):
    assert rows["none", "Adam"]["correct"][0] > rows["none", "SGD"]["correct"][0] + 0.3


def test_a_larger_penalty_makes_every_matrix_smaller_until_nothing_is_learned(result):
    for name in OPTIMIZERS:
        swept = [result.numbers["swept"][name, x] for x in remedies.STRENGTHS]
        norms = [row["weights"][0] for row in swept]
        assert norms == sorted(norms, reverse=True)
        assert (swept[-1]["sigma"][0] < swept[0]["sigma"][0]).all()
        assert swept[-1]["correct"][0] < swept[0]["correct"][0] - 0.3
        assert swept[-1]["decades"][0] < swept[0]["decades"][0] - 0.5


@pytest.mark.slow
@pytest.mark.skipif(not MNIST.is_dir(), reason="MNIST_DIR names no folder")
def test_the_best_remedy_reads_mnist():
    found = remedies.run(rows=("He", "all"), data="mnist", data_dir=str(MNIST), repeats=1).numbers["rows"]
    assert max(row["correct"][0] for row in found.values()) >= 0.95


# One run


def test_the_same_run_has_the_same_bits_wherever_it_is_computed():
    """Here, in threads, and in other processes, even if these start with another default dtype."""
    tasks = [SMALL._replace(remedy=remedy, seed=seed) for remedy in ("all", "plateau") for seed in (1, 2)]
    tasks.append(SMALL._replace(place=("digits", None, 0, "float32")))
    here = spread(measure, tasks)
    mg.set_default_dtype("float64")
    with ThreadPoolExecutor(1) as threads, ProcessPoolExecutor(1, get_context("spawn")) as processes:
        for pool in (threads, processes):
            assert all(same(a, b) for a, b in zip(here, spread(measure, tasks, pool), strict=True))
    assert not same(here[0], here[1])


def test_the_command_over_processes_prints_the_same(capsys, tmp_path):
    options = {"depth": 1, "width": 4, "epochs": 1, "repeats": 1}
    command = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    assert main(["remedies", *command, "--rows", "dropout", "--workers", "2", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(str(remedies.run(**options, rows=("dropout",))))
    assert (tmp_path / "remedies.png").read_bytes().startswith(b"\x89PNG")


def test_over_a_dask_cluster():
    """The executor of a Dask client takes the place of processes."""
    distributed = pytest.importorskip("distributed")
    here = distributed.LocalCluster(1, threads_per_worker=1, processes=False, dashboard_address=None)
    with here as cluster, executor(dask=cluster.scheduler_address) as pool:
        assert same(*spread(measure, [SMALL], pool), measure(SMALL))


def test_remedies_start_from_the_same_weights():
    weights = {
        remedy: [layer.weight.data for layer in network(SMALL._replace(remedy=remedy), 64) if isinstance(layer, Dense)]
        for remedy in REMEDIES
    }
    for remedy, arrays in weights.items():
        factor = 6**0.5 if remedy in ("He", "all") else 1
        assert all(np.allclose(a, factor * b) for a, b in zip(arrays, weights["none"], strict=True)), remedy


def test_what_each_network_consists_of():
    kinds = {remedy: [type(layer) for layer in network(SMALL._replace(remedy=remedy), 64)] for remedy in REMEDIES}
    assert kinds["none"] == kinds["L2"] == kinds["He"]
    assert kinds["BatchNorm"].count(BatchNorm) == kinds["all"].count(BatchNorm) == 2
    assert kinds["dropout"].count(Dropout) == kinds["all"].count(Dropout) == 2
    assert not {BatchNorm, Dropout} & {*kinds["none"]}


def test_measurements_against_numpy(monkeypatch):
    """Computed from the weights after training, without the engine."""
    models = []
    monkeypatch.setattr(runs, "network", lambda *xs: models.append(network(*xs)) or models[-1])
    found = measure(SMALL._replace(remedy="He"))
    weights = [p.data for p in models[0].parameters() if p.ndim == 2]
    biases = [p.data for p in models[0].parameters() if p.ndim == 1]
    assert found["weights"] == pytest.approx(np.sqrt(sum((w**2).sum() for w in weights)))
    assert found["sigma"] == pytest.approx([np.linalg.svd(w, compute_uv=False)[0] for w in weights])
    images = runs.load(*SMALL.place)
    h, zs = images.x[:256], []
    for w, b in zip(weights, biases, strict=True):
        zs.append(h @ w + b)
        h = np.maximum(zs[-1], 0)
    p = np.exp(zs[-1]) / np.exp(zs[-1]).sum(axis=1, keepdims=True)
    last = g = (p - np.eye(10)[images.y[:256]]) / 256
    for w, z in zip(weights[:0:-1], zs[-2::-1], strict=True):
        g = (g @ w.T) * (z > 0)
    assert found["decades"] == pytest.approx(np.log10(np.linalg.norm(g) / np.linalg.norm(last)))


def test_penalties_and_clipping_reach_the_weights():
    plain = measure(SMALL)
    assert measure(SMALL._replace(strength=1.0))["weights"] < plain["weights"]
    assert measure(SMALL._replace(remedy="L1"))["weights"] < plain["weights"]
    he = SMALL._replace(remedy="He")
    assert measure(he._replace(strength=0.5))["weights"] < measure(he)["weights"]


# What is shown


def test_summaries_are_means_and_deviations(result):
    assert (
        remedies.summary([{"correct": 1.0, "gradient": 2.0, "weights": 3.0, "decades": -np.inf, "sigma": np.ones(2)}])[
            "decades"
        ][0]
        == -np.inf
    )
    two = [
        {"correct": c, "gradient": 1.0, "weights": 1.0, "decades": 0.0, "sigma": np.array([c, 2.0])} for c in (0.5, 0.7)
    ]
    summary = remedies.summary(two)
    assert summary["correct"] == pytest.approx((0.6, 0.1))
    assert np.allclose(summary["sigma"][0], [0.6, 2])
    assert remedies.shown(-np.inf, np.nan) == "−∞ ± —"


def test_the_tables_show_the_numbers(result, rows):
    lines = {tuple(line.split()[:2]): line.replace("−", "-").split()[2:] for line in result.table.split("\n")}
    for key, row in [*rows.items(), *((((n, f"{x:g}")), row) for (n, x), row in result.numbers["swept"].items())]:
        cells = [float(cell) for cell in lines[key] if cell != "±"]
        wanted = [number for quantity in remedies.MEASURED for number in row[quantity]]
        assert cells[:8] == pytest.approx(wanted, abs=0.051)
        assert cells[8:] == pytest.approx(row["sigma"][0], abs=0.051)


def test_the_picture_shows_the_numbers(result, rows):
    axes = {ax.get_title(): ax for ax in result.figure.axes if ax.get_title() != "correct on held-out images"}
    bars, correct = (ax for ax in result.figure.axes if ax.get_title() == "correct on held-out images")
    containers = {c.get_label(): c for c in bars.containers if hasattr(c, "patches")}
    for name in OPTIMIZERS:
        heights = [bar.get_height() for bar in containers[name]]
        assert heights == [rows[remedy, name]["correct"][0] for remedy in REMEDIES]
        swept = [result.numbers["swept"][name, x] for x in remedies.STRENGTHS]
        for quantity, title in remedies.MEASURED.items():
            ax = correct if quantity == "correct" else axes[title]
            (drawn,) = (c for c in ax.containers if c.get_label() == name)
            assert list(drawn.lines[0].get_ydata()) == [row[quantity][0] for row in swept]
        for layer, line in enumerate(axes[f"σ_max, {name}"].lines):
            assert line.get_label() == f"W{layer + 1}"
            assert list(line.get_ydata()) == [row["sigma"][0][layer] for row in swept]
    assert [tick.get_text() for tick in bars.get_xticklabels()] == list(REMEDIES)
    assert result.figure.get_supxlabel().startswith("How to read: ")


def test_the_picture_leaves_no_gap_for_a_remedy_that_was_not_run(result, rows):
    some = {(remedy, name): rows[remedy, name] for remedy in ("He", "none") for name in OPTIMIZERS}
    figure = remedies.draw(some, result.numbers["swept"], mg.trace(mg.tensor(2.0, requires_grad=True) * 3))
    bars = next(ax for ax in figure.axes if ax.get_title() == "correct on held-out images")
    assert [tick.get_text() for tick in bars.get_xticklabels()] == ["He", "none"]
    assert [bar.get_height() for bar in bars.patches[:2]] == [rows[key, "SGD"]["correct"][0] for key in ("He", "none")]


def test_a_vanished_gradient_can_be_drawn(result, rows):
    swept = result.numbers["swept"] | {("SGD", 1.0): rows["He", "SGD"] | {"decades": (-np.inf, np.nan)}}
    remedies.draw(rows, swept, mg.trace(mg.tensor(2.0, requires_grad=True) * 3)).draw_without_rendering()


def row(correct, decades=0.0):
    return {"correct": (correct, 0.01), "decades": (decades, 0.0)}


def verdicts(rows, swept=None):
    swept = swept or {(name, x): row(0.9) for name in OPTIMIZERS for x in remedies.STRENGTHS}
    return {claim.said.split(" (")[0]: claim.verdict for claim in remedies.claims(rows, swept)}


def test_claims_follow_the_numbers():
    every = {(remedy, name): row(0.1) for remedy in REMEDIES for name in OPTIMIZERS}
    found = verdicts(every)
    assert found.pop("Small weights are safe") == "holds"
    dead = {(name, x): row(0.1, 0.0 if x == 1 else -np.inf) for name in OPTIMIZERS for x in remedies.STRENGTHS}
    assert verdicts({}, dead)["Small weights are safe"] == "false"  # not "holds if λ ≤ 1"
    assert set(found.values()) == {"false"}
    assert verdicts(every | {("L2", "SGD"): row(0.5)})["Penalise large weights: L2"] == "holds if the optimizer is SGD"
    both = {("clipping", name): row(0.5) for name in OPTIMIZERS}
    assert verdicts(every | both)["Clip the gradient"] == "holds"
    assert verdicts(every | {("none", "Adam"): row(0.9)})["Adam makes up for small gradients"] == "holds"
    assert (
        verdicts(every | {("all", name): row(0.99) for name in OPTIMIZERS})["The more remedies, the better"] == "holds"
    )


def test_claims_of_some_rows():
    some = {(remedy, name): row(0.1) for remedy in ("He", "none") for name in OPTIMIZERS}
    swept = {(name, x): row(0.9, decades=-100 * x) for name in OPTIMIZERS for x in remedies.STRENGTHS}
    assert verdicts(some, swept) == {
        "ReLUs need larger first weights": "false",
        "Adam makes up for small gradients": "false",
        "Small weights are safe": "holds if λ ≤ 0.01",
    }
    lost = {key: row(0.1, decades=-np.inf) for key in swept}
    assert verdicts({}, lost) == {"Small weights are safe": "false"}


# Options, and what can go wrong


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"depth": 0}, "--depth: at least 1, not 0"),
        ({"width": -3}, "--width: at least 1, not -3"),
        ({"epochs": 0}, "--epochs: at least 1, not 0"),
        ({"repeats": 0}, "--repeats: at least 1, not 0"),
        ({"workers": 0}, "--workers: at least 1, not 0"),
        ({"seed": -1}, "--seed: at least 0, not -1"),
        ({"rows": ("luck",)}, "--rows: choose from none, clipping"),
        ({"data": "mnist"}, "mnist needs the folder"),
        ({"data": "cifar10", "data_dir": "nowhere"}, "there is no folder nowhere"),
    ],
)
def test_wrong_options_are_one_sentence(options, sentence):
    with pytest.raises(UserError, match=sentence):
        remedies.run(**options)


def test_dask_that_is_not_installed_is_a_sentence(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "distributed", None)  # importing it fails
    assert main(["remedies", "--dask", "tcp://localhost:1", "--out", str(tmp_path)]) == 2
    assert 'Dask is not installed; pip install -e ".[dask]"' in capsys.readouterr().err


def test_ctrl_c_keeps_what_is_finished(monkeypatch):
    def interrupted(run):
        if run.remedy == "L2":
            raise KeyboardInterrupt
        return measure(run)

    monkeypatch.setattr(remedies, "measure", interrupted)
    result = remedies.run(depth=1, width=4, epochs=1, repeats=1)
    assert not result.complete
    assert {remedy for remedy, _ in result.numbers["rows"]} == {"none", "clipping"}
    assert result.numbers["swept"] == {}
    assert result.claims == []
    result.figure.draw_without_rendering()


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals differ")
def test_worker_processes_block_ctrl_c_from_their_start():
    with executor(2) as pool:
        assert spread(partial(signal.pthread_sigmask, signal.SIG_BLOCK), [()], pool) == [{signal.SIGINT}]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
