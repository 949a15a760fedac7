"""GradientMonitor: what it records of each step, that it changes no number, and the errors of wrong calls."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from layers import BatchNorm, CrossEntropy, Dense, DenseBlock, Dropout, Sequential
from layers.scope import watching
from minigrad.arrays import sum_of_squares
from minigrad.inspection.monitor.histogram import octaves
from minigrad.settings import state
from optim import SGD, Adam

# Steps


def test_every_third_step(network, train):
    model = network("tanh")
    optimizer = SGD(model.parameters(), lr=0.1)
    with mg.GradientMonitor(model, optimizer, every=3) as monitor:
        train(model, optimizer, 8, monitor)
    assert monitor.history["step"].tolist() == [0, 3, 6]
    assert np.isfinite(monitor.history["update_ratio/layers.0.weight"]).all()


def test_a_step_of_the_optimizer_belongs_to_the_step_that_was_recorded(network, data, train):
    model, (x, labels) = network("tanh"), data()
    optimizer = SGD(model.parameters(), lr=0.1)
    with mg.GradientMonitor(model, optimizer, every=2) as monitor:
        CrossEntropy()(model(x), labels).backward()
        monitor.step()  # recorded, but without a step of the optimizer
        train(model, optimizer, 1, monitor)
        assert "update_ratio/layers.0.weight" not in monitor.history
        train(model, optimizer, 1, monitor)
    np.testing.assert_array_equal(np.isnan(monitor.history["update_ratio/layers.0.weight"]), [True, False])


def test_a_step_that_nobody_asked_for_does_not_count(network, data, norm):
    model, (x, labels) = network("relu"), data()
    optimizer = SGD(model.parameters(), lr=0.1)
    norms = []
    with mg.GradientMonitor(model, optimizer) as monitor:
        for i in range(5):
            optimizer.zero_grad()
            h = model(x)
            CrossEntropy()(h, labels).backward()
            if i % 2 == 0:
                monitor.step()
                norms.append(norm(h.data))
            optimizer.step()
    np.testing.assert_allclose(monitor.history["activation_norm/layers.1"], norms, rtol=1e-12)


def test_a_step_lets_go_of_the_graph(network, data, train):
    model = network("relu")
    optimizer = SGD(model.parameters(), lr=0.01)
    with mg.GradientMonitor(model, optimizer) as monitor:
        train(model, optimizer, 3, monitor)
        assert monitor.walk.looks == []
        for _ in range(3):  # without step(), only the last pass is held
            CrossEntropy()(model(data()[0]), data()[1]).backward()
        assert len(monitor.walk.looks) == 3


@pytest.mark.slow
def test_ten_thousand_steps_in_bounded_memory(network, train):
    model = network("relu", width=2)
    optimizer = SGD(model.parameters(), lr=0.01)

    def held(monitor):
        arrays = [monitor.history.sums, monitor.history.counts, *monitor.histograms.counts.values()]
        return sum(a.nbytes for a in arrays), len(monitor.walk.looks), len(monitor.waiting), len(monitor.used)

    with mg.GradientMonitor(model, optimizer, level="full") as monitor:
        train(model, optimizer, 300, monitor)
        before = held(monitor)
        train(model, optimizer, 9_700, monitor)
    assert held(monitor) == before
    assert monitor.history.length <= 1024
    assert monitor.history["step"][-1] >= 9_900


def test_hist_adds_histograms_and_full_adds_maps_of_units(network, data):
    model = network("relu", "sigmoid", width=5)
    x, labels = data(n=300)
    seen = {}
    for level in ("norms", "hist", "full"):
        with mg.GradientMonitor(model, level=level) as seen[level], watching() as calls:
            for _ in range(2):
                model.zero_grad()
                CrossEntropy()(model(x), labels).backward(retain_grad=True)
                seen[level].step()
    assert not seen["norms"].histograms.counts
    assert not seen["hist"].units
    assert set(seen["norms"].history) == set(seen["full"].history)
    histograms = seen["hist"].histograms
    for name, array in (
        ("activation/layers.1", calls[1][3].numpy()),
        ("gradient/layers.0", calls[0][3].grad),
        ("gradient/layers.1.weight", model[1].weight.grad),
    ):
        np.testing.assert_array_equal(histograms[name], [octaves(array)] * 2)
    h, g = calls[0][3].numpy(), calls[0][3].grad
    units = seen["full"].units["layers.0"]
    np.testing.assert_allclose(units["active"], np.mean(h > 0, axis=0))
    np.testing.assert_allclose(units["activation_rms"], np.sqrt(np.mean(h**2, axis=0)))
    np.testing.assert_allclose(units["gradient_rms"], np.sqrt(np.mean(g**2, axis=0)))
    assert seen["full"].units["layers.1"]["saturated"].shape == (5,)
    seen["full"].reset()
    assert not seen["full"].units


def test_units_of_a_module_with_outputs_of_two_widths_are_those_of_the_last_over_all_samples(data):
    """Each DenseBlock stage makes a wider output in the same module; the averages began anew at every one."""
    mg.seed(0)
    model = Sequential(DenseBlock(Dense(6, 2, "relu"), Dense(8, 3, "relu")), Dense(11, 3))
    x, labels = data(n=20)
    with mg.GradientMonitor(model, level="full") as monitor, watching() as calls:
        for half in (slice(10), slice(10, 20)):
            CrossEntropy()(model(x[half]), labels[half]).backward()
            monitor.step()
    h = np.concatenate([y.numpy() for _, module, _, y in calls if module is model[0]])
    np.testing.assert_allclose(monitor.units["layers.0"]["activation_rms"], np.sqrt(np.mean(h**2, axis=0)))


def test_a_step_without_a_call_is_in_no_histogram(network, data):
    model, (x, labels) = network("relu"), data(n=30)
    optimizer = SGD(model.parameters(), lr=0.1)
    with mg.GradientMonitor(model, optimizer, level="hist") as monitor:
        for _ in range(2):
            CrossEntropy()(model(x), labels).backward()
        optimizer.step()  # what was heard until now is dropped
        model.zero_grad()
        CrossEntropy()(model(x), labels).backward()
        monitor.step()
    assert monitor.histograms.length == monitor.history.length == 1
    assert monitor.histograms["gradient/layers.1"].sum() == 30 * 3


# Updates and clipping


@pytest.mark.parametrize(
    "make", [lambda p: SGD(p, lr=0.3, momentum=0.9, weight_decay=0.01), lambda p: Adam(p, lr=0.01)], ids=["SGD", "Adam"]
)
def test_update_ratios_are_those_of_the_real_step(network, train, norm, make):
    model = network("tanh", "relu")
    optimizer = make(model.parameters())
    expected = {name: [] for name, _ in model.named_parameters()}
    with mg.GradientMonitor(model, optimizer) as monitor:
        for _ in range(5):
            before = model.state_dict()
            train(model, optimizer, 1, monitor, clip=0.2)
            for name, w in before.items():
                moved = norm(model.state_dict()[name] - w)
                expected[name].append(moved / norm(w) if norm(w) >= 1e-8 else np.nan)
    for name, ratios in expected.items():
        np.testing.assert_allclose(monitor.history[f"update_ratio/{name}"], ratios, rtol=1e-9, err_msg=name)
    assert np.isnan(monitor.history["update_ratio/layers.0.bias"][0])  # it started at 0: no ratio
    assert np.isfinite(monitor.history["update_ratio/layers.0.bias"][1:]).all()


def test_without_kernels_an_update_is_measured_without_a_copy_in_float64(monkeypatch, norm):
    model = Dense(256, 200).astype("float32")
    optimizer = SGD(model.parameters(), lr=0.01)
    before = model.weight.data.copy()
    with mg.kernels.use("numpy"), mg.GradientMonitor(model, optimizer) as monitor:
        mg.mse(model(np.ones((4, 256), np.float32)), np.ones((4, 200), np.float32)).backward()
        monitor.step()
        copied = []
        line = sum_of_squares.line
        monkeypatch.setattr(sum_of_squares, "line", lambda x: copied.append(x.size) or line(x))
        optimizer.step()
    assert copied.count(before.size) == 1  # the gradient, as in every step; neither the weights nor their change
    for name, x in (("weight_norm", before), ("change_norm", 0.01 * model.weight.grad)):
        np.testing.assert_allclose(monitor.history[f"{name}/weight"], [norm(x)], rtol=1e-7)


def test_gradients_before_and_after_clipping(network, train):
    model = network("tanh")
    optimizer = SGD(model.parameters(), lr=0.1)
    with mg.GradientMonitor(model, optimizer) as monitor:
        train(model, optimizer, 4, monitor, clip=0.05)
    history = monitor.history
    assert (history["global_norm"] > 0.1).all()
    np.testing.assert_allclose(history["global_clipped_norm"], 0.05)
    for name in dict(model.named_parameters()):
        shortened = history[f"clipped_norm/{name}"] / history[f"gradient_norm/{name}"]
        np.testing.assert_allclose(shortened, 0.05 / history["global_norm"])


def test_a_gradient_clipped_in_place_is_noticed(network, data, norm):
    model, (x, labels) = network("tanh"), data()
    optimizer = SGD(model.parameters(), lr=0.1)
    with mg.GradientMonitor(model, optimizer) as monitor:
        CrossEntropy()(model(x), labels).backward()
        monitor.step()
        for p in model.parameters():
            np.clip(p.grad, -1e-3, 1e-3, out=p.grad)
        optimizer.step()
    name = "layers.0.weight"
    assert monitor.history[f"clipped_norm/{name}"] == pytest.approx([norm(model[0].weight.grad)], rel=1e-14)
    assert monitor.history[f"clipped_norm/{name}"] < monitor.history[f"gradient_norm/{name}"]


# What it changes and costs


@pytest.mark.parametrize("level", ["norms", "hist", "full"])
def test_training_gives_the_same_bits(train, level):
    def run(watched):
        mg.seed(3)
        model = Sequential(Dense(6, 16, "relu"), Dropout(0.3), BatchNorm(16), Dense(16, 3)).astype("float32")
        optimizer = Adam(model.parameters(), lr=0.01)
        monitor = mg.GradientMonitor(model, optimizer, level=level) if watched else None
        train(model, optimizer, 10, monitor, clip=0.5)
        if monitor:
            monitor.close()
            assert monitor.table()
        grads = [p.grad.tobytes() for p in model.parameters()]
        state_of_generator = mg.settings.generator().bit_generator.state
        return {name: w.tobytes() for name, w in model.state_dict().items()}, grads, state_of_generator

    assert run(watched=True) == run(watched=False)


def test_overhead_is_a_share_of_the_time(network, train):
    model = network("relu")
    optimizer = SGD(model.parameters(), lr=0.1)
    with mg.GradientMonitor(model, optimizer) as monitor:
        assert monitor.overhead == 0
        train(model, optimizer, 3, monitor)
        busy = monitor.overhead
        time.sleep(0.05)
        train(model, optimizer, 1, monitor)
    assert 0 < monitor.overhead < busy < 1


def test_the_core_does_not_need_it(tmp_path):
    package = Path(mg.__file__).parent
    shutil.copytree(package, tmp_path / "minigrad", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.rmtree(tmp_path / "minigrad/inspection/monitor")
    code = "import minigrad as mg; print(mg.__file__, hasattr(mg, 'GradientMonitor'), mg.trace)"
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert str(tmp_path) in result.stdout
    assert "False" in result.stdout


# Wrong calls


def test_wrong_calls(network):
    model = network("relu")
    with pytest.raises(TypeError, match="Module, not list"):
        mg.GradientMonitor([1])
    with pytest.raises(TypeError, match="Optimizer, not float"):
        mg.GradientMonitor(model, 0.1)
    with pytest.raises(ValueError, match="'loud' is not one of norms, hist, full"):
        mg.GradientMonitor(model, level="loud")
    with pytest.raises(ValueError, match="every must be a whole number above 0, not 0"):
        mg.GradientMonitor(model, every=0)
    with pytest.raises(ValueError, match=r"window must be a whole number above 0, not 2\.5"):
        mg.GradientMonitor(model, window=2.5)
    with pytest.raises(ValueError, match="trains no parameter of the model"):
        mg.GradientMonitor(model, SGD(network("tanh").parameters(), lr=0.1))
    assert state.listeners == ()


def test_a_monitor_that_hears_nothing_says_so(network, data):
    model, (x, labels) = network("relu"), data()
    with mg.GradientMonitor(model) as monitor:
        with pytest.raises(mg.GraphError, match="no gradient of the model"):
            monitor.step()
        mg.grad(CrossEntropy()(model(x), labels), model[0].weight)
        with pytest.raises(mg.GraphError, match="not grad"):
            monitor.step()
        CrossEntropy()(network("relu", seed=5)(x), labels).backward()  # another model
        with pytest.raises(mg.GraphError):
            monitor.step()
        with pytest.raises(ValueError, match="no gradient is recorded"):
            monitor.plot()
        assert "nothing is recorded" in monitor.table()
        CrossEntropy()(model(x), labels).backward()
        monitor.step()
        with pytest.raises(mg.GraphError):
            monitor.step()
    assert monitor.history.length == 1


def test_a_monitor_refuses_to_record_after_the_step_of_the_optimizer(network, data):
    model, (x, labels) = network("relu"), data()
    optimizer = SGD(model.parameters(), lr=0.1)
    with mg.GradientMonitor(model, optimizer) as monitor:
        CrossEntropy()(model(x), labels).backward()
        optimizer.step()
        with pytest.raises(mg.GraphError, match=r"call it between backward\(\) .* and optimizer\.step\(\)"):
            monitor.step()
