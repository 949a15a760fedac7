"""GradientMonitor: it records what happened, changes nothing, and loses nothing when a run dies."""

import csv
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from layers import GRU, LSTM, RNN, BatchNorm, CrossEntropy, Dense, Dropout, Module, ReLU, Residual, Sequential
from layers.scope import watching
from minigrad.settings import state
from optim import SGD, Adam, clip_by_global_norm

pytest.importorskip("minigrad.inspection.monitor", reason="the room of the monitor was taken out")
from minigrad.inspection.monitor.histogram import EDGES, Histograms, octaves
from minigrad.inspection.monitor.history import History


def data(n=32, features=6, classes=3, seed=0, dtype=None):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, features)).astype(dtype or float), rng.integers(0, classes, n)


def network(*activations, width=8, features=6, classes=3, seed=0, init="he_normal"):
    mg.seed(seed)
    sizes = [features, *[width] * len(activations)]
    hidden = [Dense(a, b, phi, init=init) for a, b, phi in zip(sizes, sizes[1:], activations, strict=False)]
    return Sequential(*hidden, Dense(sizes[-1], classes))


def train(model, optimizer, steps, monitor=None, clip=None, x=None, labels=None):
    """The usual training loop."""
    if x is None:
        x, labels = data()
    for _ in range(steps):
        optimizer.zero_grad()
        CrossEntropy()(model(x), labels).backward()
        if monitor:
            monitor.step()
        if clip:
            clip_by_global_norm(model.parameters(), clip)
        optimizer.step()


def norm(x):
    return np.linalg.norm(np.asarray(x, np.float64))


# What it records is what happened


DERIVATIVES = {
    "sigmoid": lambda z: 4 / (np.exp(z / 2) + np.exp(-z / 2)) ** 2,  # relative to its maximum, 1/4
    "tanh": lambda z: 1 / np.cosh(z) ** 2,
    "softsign": lambda z: 1 / (1 + np.abs(z)) ** 2,
    "hard_tanh": lambda z: np.abs(z) < 1,
}


@pytest.mark.parametrize("kernels", ["auto", "definition"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layers_agree_with_a_direct_computation(dtype, kernels):
    model = network("tanh", "relu", "sigmoid", "softsign", "hard_tanh", width=40).astype(dtype)
    for layer in model:
        layer.weight.data = 3 * layer.weight.data
    x, labels = data(n=200, dtype=dtype)
    with mg.kernels.use(kernels), mg.GradientMonitor(model) as monitor, watching() as calls:
        CrossEntropy()(model(x), labels).backward(retain_grad=True)
        monitor.step()
    h, close = x, {"rtol": 1e-6 if dtype == "float32" else 1e-12}
    for (path, layer, _, y), saw in zip(calls[:6], [monitor.history] * 6, strict=True):
        for what, values in (("activation", y.numpy()), ("gradient", y.grad)):
            np.testing.assert_allclose(saw[f"{what}_norm/{path}"], [norm(values)], **close)
            np.testing.assert_allclose(saw[f"{what}_rms/{path}"], [norm(values) / values.size**0.5], **close)
            assert saw[f"{what}_zeros/{path}"] == [np.mean(values == 0)]
        z = h @ layer.weight.data + layer.bias.data
        if layer.activation in DERIVATIVES:
            assert saw[f"saturated/{path}"] == [np.mean(DERIVATIVES[layer.activation](z) < 0.1)]
            assert 0 < saw[f"saturated/{path}"][0] < 1
        else:
            assert f"saturated/{path}" not in saw
        h = y.numpy()
    assert 0.2 < monitor.history["activation_zeros/layers.1"][0] < 0.8  # ReLU: about half are zeros
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(monitor.history[f"gradient_norm/{name}"], [norm(parameter.grad)], **close)
        np.testing.assert_allclose(monitor.history[f"weight_norm/{name}"], [norm(parameter.data)], **close)
    everything = [norm(p.grad) for p in model.parameters()]
    np.testing.assert_allclose(monitor.history["global_norm"], [norm(everything)], **close)


@pytest.mark.parametrize("layer", [RNN, LSTM, GRU])
def test_recurrent_layers_look_the_same_fused_and_step_by_step(layer):
    x, labels = np.random.default_rng(0).normal(size=(5, 7, 4)) * 3, [0, 1, 2, 0, 1]

    class Net(Module):
        def __init__(self):
            self.recurrent, self.out = layer(4, 6, rng=1), Dense(6, 3, rng=2)

        def forward(self, x):
            return self.out(self.recurrent(x))

    histories = []
    for kernels in ("auto", "definition"):
        model = Net()
        with mg.kernels.use(kernels), mg.GradientMonitor(model) as monitor:
            CrossEntropy()(model(x), labels).backward()
            monitor.step()
        histories.append(monitor.history)
    fused, definition = histories
    assert set(fused) == set(definition)
    assert 0 < fused["saturated/recurrent"][0] < 1
    for key in fused:
        np.testing.assert_allclose(fused[key], definition[key], rtol=1e-9, err_msg=key)


def test_gradients_too_small_for_float32_squares_are_not_zero():
    model = network(*["sigmoid"] * 40, init="xavier_uniform").astype("float32")
    x, labels = data(dtype="float32")
    with mg.GradientMonitor(model) as monitor:
        CrossEntropy()(model(x), labels).backward()
        monitor.step()
    gradient = model[0].weight.grad
    assert np.sum(gradient**2) == 0
    assert norm(gradient) > 0
    np.testing.assert_allclose(monitor.history["gradient_norm/layers.0.weight"], [norm(gradient)], rtol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e-25, 1e25])
def test_norms_of_large_float32_arrays(scale):
    from minigrad.inspection.monitor.looks import length

    x = (np.random.default_rng(0).normal(size=(301, 123)) * scale).astype(np.float32)
    with np.errstate(over="ignore"):
        for array in (x, x.T, x[::2], x[:, 1:]):
            np.testing.assert_allclose(length(array), norm(array), rtol=1e-7)
        x[5, 5] = np.nan
        assert length(x) == np.inf


def test_a_gradient_that_is_not_finite_is_written_as_infinite():
    model = network("relu")
    x, labels = data()
    x[3, 2] = np.nan
    with mg.GradientMonitor(model) as monitor:
        CrossEntropy()(model(x), labels).backward()
        monitor.step()
    assert monitor.history["gradient_norm/layers.0.weight"] == [np.inf]
    assert monitor.history["activation_norm/layers.0"] == [np.inf]


def test_what_is_not_finite_three_times_is_an_alarm():
    model = network("relu")
    x, labels = data()
    x[3, 2] = np.nan
    with mg.GradientMonitor(model) as monitor:
        for step in range(3):
            CrossEntropy()(model(x), labels).backward()
            monitor.step()
            lines = {line.split()[0]: line for line in monitor.table().splitlines() if line}
            for name in ("layers.0", "layers.0.weight"):
                assert ("inf !!" in lines[name]) == (step == 2)
    assert "NaN" in lines["inf"]


def test_several_backward_passes_before_a_step_are_one_batch():
    model, (x, labels) = network("relu"), data()
    rows = []
    for batches in ([slice(0, 32)], [slice(0, 16), slice(16, 32)]):
        model.zero_grad()
        with mg.GradientMonitor(model) as monitor:
            for batch in batches:
                CrossEntropy("sum")(model(x[batch]), labels[batch]).backward()
            monitor.step()
        rows.append(monitor.history.recent[-1])
    whole, halves = rows
    assert whole.keys() == halves.keys()
    for key in whole:
        np.testing.assert_allclose(halves[key], whole[key], rtol=1e-12, err_msg=key)


def test_a_backward_that_breaks_off_does_not_count():
    works = True

    def rule(g, y, x):
        if not works:
            raise ValueError("it is broken")
        return g

    fragile = mg.primitive("fragile", lambda x: x.copy(), [rule])
    model, (x, labels) = network("relu", "tanh"), data()

    def backward(x):
        mg.cross_entropy(model[1:](fragile(model[0](x))), labels).backward()

    def recorded(before):
        nonlocal works
        with mg.GradientMonitor(model, level="full") as monitor:
            works = False
            for scale in before:
                with pytest.raises(mg.GraphError, match="it is broken"):
                    backward(scale * x)
            works = True
            model.zero_grad()
            backward(x)
            monitor.step()
        return dict(monitor.history), monitor.histograms.arrays(), monitor.units

    np.testing.assert_equal(recorded(before=[2, 10]), recorded(before=[]))


def test_after_a_backward_that_broke_off_there_is_nothing_to_record():
    model, (x, labels) = network("relu"), data()
    broken = mg.primitive("broken", lambda x: x.copy(), [lambda g, y, x: None])
    with mg.GradientMonitor(model) as monitor:
        with pytest.raises(mg.GraphError, match="returned NoneType"):
            mg.cross_entropy(model[1](broken(model[0](x))), labels).backward()
        with pytest.raises(mg.GraphError, match="no gradient of the model has arrived"):
            monitor.step()


def test_a_backward_that_stops_where_it_was_told_to_counts():
    weighted = mg.primitive("weighted", np.multiply, [lambda g, y, x, w: g * w, None])
    model, (x, _) = network(), data()
    with mg.GradientMonitor(model) as monitor:
        for _ in range(2):
            y = model(x)
            weighted(y, mg.exp(y)).sum().backward()
        monitor.step()
    expected = np.sqrt(2) * norm(y.data)
    np.testing.assert_allclose(monitor.history["activation_norm/layers.0"], [expected], rtol=1e-12)


@pytest.mark.parametrize("order", [1, -1])
def test_an_output_counts_whichever_backward_pass_comes_first(order):
    model, x = network("relu"), data()[0]
    outputs = [model(x), model(2 * x)]
    with mg.GradientMonitor(model) as monitor:
        for y in outputs[::order]:
            y.backward(np.ones(y.shape))
        monitor.step()
    np.testing.assert_allclose(monitor.history["activation_norm/layers.1"], [norm([y.data for y in outputs])])


def test_modules_of_every_kind_have_a_row_and_the_loss_has_none():
    mg.seed(0)
    model = Sequential(Dense(6, 8), BatchNorm(8), ReLU(), Residual(Dense(8, 8, "tanh")), Dropout(0.5), Dense(8, 3))
    x, labels = data()
    with mg.GradientMonitor(model) as monitor:
        loss = CrossEntropy()(model(x), labels) + 0.1 * mg.sum(model[0].weight ** 2)
        loss.backward()
        monitor.step()
    expected = ["layers.0", "layers.1", "layers.2", "layers.3.body.0", "layers.3", "layers.4", "layers.5"]
    assert list(monitor.history.of("activation_rms")) == expected
    assert monitor.history["activation_zeros/layers.4"][0] > 0.3  # the units that Dropout zeroed


def test_a_model_that_is_one_layer_and_one_that_holds_its_loss():
    x, labels = data()
    layer = Dense(6, 3)
    with mg.GradientMonitor(layer) as monitor:
        CrossEntropy()(layer(x), labels).backward()
        monitor.step()
    assert monitor.history["activation_norm/Dense"] == pytest.approx([norm(layer(x).numpy())], rel=1e-14)

    class Judged(Module):
        def __init__(self):
            self.layer, self.loss = layer, CrossEntropy("none")

        def forward(self, x, labels):
            return mg.mean(self.loss(self.layer(x), labels))

    model = Judged()
    with mg.GradientMonitor(model) as monitor:
        model(x, labels).backward()
        monitor.step()
    assert list(monitor.history.of("activation_norm")) == ["layer"]


def test_every_third_step():
    model = network("tanh")
    optimizer = SGD(model.parameters(), lr=0.1)
    with mg.GradientMonitor(model, optimizer, every=3) as monitor:
        train(model, optimizer, 8, monitor)
    assert monitor.history["step"].tolist() == [0, 3, 6]
    assert np.isfinite(monitor.history["update_ratio/layers.0.weight"]).all()


def test_a_step_of_the_optimizer_belongs_to_the_step_that_was_recorded():
    model, (x, labels) = network("tanh"), data()
    optimizer = SGD(model.parameters(), lr=0.1)
    with mg.GradientMonitor(model, optimizer, every=2) as monitor:
        CrossEntropy()(model(x), labels).backward()
        monitor.step()  # recorded, but without a step of the optimizer
        train(model, optimizer, 1, monitor)
        assert "update_ratio/layers.0.weight" not in monitor.history
        train(model, optimizer, 1, monitor)
    np.testing.assert_array_equal(np.isnan(monitor.history["update_ratio/layers.0.weight"]), [True, False])


# Updates and clipping


@pytest.mark.parametrize(
    "make", [lambda p: SGD(p, lr=0.3, momentum=0.9, weight_decay=0.01), lambda p: Adam(p, lr=0.01)], ids=["SGD", "Adam"]
)
def test_update_ratios_are_those_of_the_real_step(make):
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


def test_gradients_before_and_after_clipping():
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


def test_a_gradient_clipped_in_place_is_noticed():
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


# Dead units


def dead(model, batches, window=100, reset_after=None, **changes):
    """Shares of dead and born dead units of the first layer, step by step."""
    with mg.GradientMonitor(model, window=window) as monitor:
        for i, (x, labels) in enumerate(batches):
            if i in changes.get("kill", {}):
                model[0].bias.data[changes["kill"][i]] = -1e6
            if i == reset_after:
                monitor.reset()
            CrossEntropy()(model(x), labels).backward()
            monitor.step()
    history = monitor.history
    missing = np.full(len(batches), np.nan)
    return history.get("dead/layers.0", missing), history.get("born_dead/layers.0", missing)


@pytest.mark.parametrize("seed", range(3))
def test_a_healthy_he_net_has_no_dead_unit(seed):
    model = network(*["relu"] * 3, width=64, features=32, seed=seed)
    optimizer = SGD(model.parameters(), lr=0.01)
    x, labels = data(n=512, features=32, seed=seed)
    with mg.GradientMonitor(model, optimizer) as monitor:
        train(model, optimizer, 5, monitor, x=x, labels=labels)
    shares = monitor.history.of("dead")
    assert len(shares) == 3
    assert max(share.max() for share in shares.values()) == 0
    assert min(monitor.history[f"activation_zeros/{name}"].min() for name in shares) > 0.4  # sparse, but alive


def test_units_that_are_dead_from_birth():
    model = network("relu", width=10)
    model[0].bias.data[[1, 4, 7]] = -1e6
    shares, born = dead(model, [data(n=100, seed=i) for i in range(5)])
    np.testing.assert_array_equal(shares, [np.nan, np.nan, 0.3, 0.3, 0.3])  # no verdict before 256 samples
    np.testing.assert_array_equal(born, shares)


def test_a_unit_that_dies_in_training_is_not_born_dead():
    model = network("relu", width=10)
    shares, born = dead(model, [data(n=200, seed=i) for i in range(9)], window=3, kill={4: [2, 3]})
    np.testing.assert_array_equal(shares, [np.nan, 0, 0, 0, 0, 0, 0.2, 0.2, 0.2])  # silent for three batches
    np.testing.assert_array_equal(born[1:], 0)


def test_without_a_window_a_unit_dies_by_the_reset():
    batches = [data(n=200, seed=i) for i in range(8)]
    never, _ = dead(network("relu", width=10), batches, window=None, kill={2: [5]})
    np.testing.assert_array_equal(never[1:], 0)
    after, born = dead(network("relu", width=10), batches, window=None, kill={2: [5]}, reset_after=4)
    assert after[-1] == 0.1
    assert born[-1] == 0


def test_small_batches_wait_for_256_samples():
    shares, _ = dead(network("relu", width=10), [data(n=32, seed=i) for i in range(20)], window=2, kill={10: [0]})
    assert np.isnan(shares[:7]).all()
    np.testing.assert_array_equal(shares[7:], [0] * 10 + [0.1] * 3)  # 256 samples, 8 batches, after its last activity


def test_one_active_sample_is_life():
    model = network("relu", width=4)
    model[0].weight.data = np.eye(6)[:, :4]
    x = -np.ones((300, 6))
    x[17, 2] = 0.1
    shares, _ = dead(model, [(x, np.zeros(300, int))])
    assert shares[0] == 0.75


# It changes nothing, and keeps to itself


@pytest.mark.parametrize("level", ["norms", "hist", "full"])
def test_training_gives_the_same_bits(level):
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


def test_a_trace_in_between_is_not_heard():
    histories = []
    for traced in (False, True):
        model, (x, labels) = network("tanh"), data()
        with mg.GradientMonitor(model) as monitor:
            loss = CrossEntropy()(model(x), labels)
            loss.backward()
            if traced:
                mg.trace(loss)
                mg.grad(loss, model[0].weight)
            monitor.step()
        histories.append(monitor.history.recent[-1])
    assert histories[0] == histories[1]


def test_two_monitors_of_one_model():
    model = network("relu")
    optimizer = SGD(model.parameters(), lr=0.1)
    x, labels = data()
    with mg.GradientMonitor(model, optimizer) as first, mg.GradientMonitor(model, optimizer, every=2) as second:
        for _ in range(4):
            optimizer.zero_grad()
            CrossEntropy()(model(x), labels).backward()
            first.step()
            second.step()
            optimizer.step()
    assert first.history["step"].tolist() == [0, 1, 2, 3]
    assert second.history["step"].tolist() == [0, 2]
    for key in first.history:
        np.testing.assert_array_equal(second.history[key], first.history[key][::2], err_msg=key)
    with mg.GradientMonitor(model, optimizer) as one:
        mg.GradientMonitor(model, optimizer).close()  # does not close the other
        train(model, optimizer, 1, one)
    assert "update_ratio/layers.0.weight" in one.history


def test_two_models_in_one_graph_are_told_apart():
    generator, judge = network("tanh", classes=6, seed=1), network("relu", classes=1, seed=2)
    with mg.GradientMonitor(generator) as of_generator, mg.GradientMonitor(judge) as of_judge:
        mg.mse(judge(generator(data()[0])), np.ones((32, 1))).backward()
        of_generator.step()
        of_judge.step()
    made = generator(data()[0])
    assert of_generator.history["activation_norm/layers.1"] == [norm(made.numpy())]
    assert of_judge.history["activation_norm/layers.1"] == [norm(judge(made).numpy())]
    assert "activation_zeros/layers.0" in of_judge.history
    assert of_generator.history["activation_zeros/layers.0"] == [0]  # tanh: not the zeros of the judge's ReLU


def test_threads_do_not_hear_each_other():
    def run(seed, histories, barrier=None):
        rng = np.random.default_rng(seed)
        model = Sequential(Dense(6, 8, "relu", rng=rng), Dense(8, 3, rng=rng))
        optimizer = SGD(model.parameters(), lr=0.1)
        with mg.GradientMonitor(model, optimizer) as monitor:
            for _ in range(20):
                if barrier:
                    barrier.wait(timeout=10)
                train(model, optimizer, 1, monitor)
        histories[seed] = dict(monitor.history)

    alone, together = {}, {}
    for seed in range(3):
        run(seed, alone)
    barrier = threading.Barrier(3)
    threads = [threading.Thread(target=run, args=(seed, together, barrier)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(together) == {0, 1, 2}
    for seed in range(3):
        for key in alone[seed]:
            np.testing.assert_array_equal(together[seed][key], alone[seed][key])


# Opening and closing


def test_closing_takes_every_listener_away():
    model = network("relu")
    optimizer = SGD(model.parameters(), lr=0.1)
    monitor = mg.GradientMonitor(model, optimizer)
    assert (len(state.listeners), len(optimizer.meters)) == (1, 1)
    train(model, optimizer, 2, monitor)
    monitor.close()
    monitor.close()
    assert (len(state.listeners), len(optimizer.meters)) == (0, 0)
    train(model, optimizer, 2)
    assert monitor.history["step"].tolist() == [0, 1]
    with pytest.raises(mg.GraphError, match="closed"):
        monitor.step()


def test_a_monitor_that_nobody_holds_stops_listening():
    model = network("relu")
    optimizer = SGD(model.parameters(), lr=0.1)
    monitor = mg.GradientMonitor(model, optimizer, level="full")
    train(model, optimizer, 2, monitor)
    history = monitor.history
    del monitor
    assert (state.listeners, optimizer.meters) == ((), [])
    train(model, optimizer, 2)
    assert history["step"].tolist() == [0, 1]


def test_another_thread_can_close_it():
    model, (x, labels) = network("relu"), data()
    monitor = mg.GradientMonitor(model)
    thread = threading.Thread(target=monitor.close)
    thread.start()
    thread.join()
    CrossEntropy()(model(x), labels).backward()
    assert monitor.walk.looks == []
    monitor.close()
    assert state.listeners == ()


def test_an_error_in_the_block_closes_it():
    with pytest.raises(KeyError), mg.GradientMonitor(network("relu")):
        raise KeyError
    assert state.listeners == ()


def test_a_monitor_that_hears_nothing_says_so():
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


def test_wrong_calls():
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


# Memory


def test_a_history_is_bounded_and_keeps_the_means():
    history = History(capacity=64)
    values = np.random.default_rng(0).normal(size=10_000)
    sizes = set()
    for step, x in enumerate(values):
        history.begin(step)
        history.put("every", x)
        if step % 2:
            history.put("odd", x)
        if step > 100:
            sizes.add(history.sums.nbytes + history.counts.nbytes + history.steps.nbytes)
    assert len(sizes) == 1
    assert history.stride == 256
    whole = len(values) // 256 * 256
    blocks = values[:whole].reshape(-1, 256)
    np.testing.assert_array_equal(history["step"][:-1], np.arange(0, whole, 256))
    np.testing.assert_allclose(history["every"][:-1], blocks.mean(axis=1))
    np.testing.assert_allclose(history["odd"][:-1], blocks[:, 1::2].mean(axis=1))
    np.testing.assert_allclose(history["every"][-1], values[whole:].mean())
    assert [row["every"] for row in history.recent] == values[-3:].tolist()


def test_reading_a_column_leaves_the_table_alone():
    """If each read wrote the last step into the table again, time would grow with the square of the layers."""
    history = History()
    for step in range(3):
        history.begin(step)
        for k in range(50):
            history.put(f"norm/{k}", step + k)
    before = history.sums.copy()
    np.testing.assert_array_equal(history.of("norm")["7"], [7, 8, 9])
    np.testing.assert_array_equal(history.sums, before)
    history.put("late", 1.0)
    np.testing.assert_array_equal(history["late"], [np.nan, np.nan, 1])


def test_an_unknown_key_names_what_there_is():
    history = History(4)
    assert "loss" not in history
    history.begin(0)
    history.put("loss", 1.0)
    with pytest.raises(KeyError, match="nothing is recorded as 'los'; did you mean loss"):
        history["los"]


def test_a_spike_to_infinity_is_not_averaged_away():
    history = History(capacity=4)
    for step in range(20):
        history.begin(step)
        history.put("norm", np.inf if step == 5 else 1.0)
    assert np.isinf(history["norm"]).sum() == 1


def test_histograms_are_bounded_and_keep_every_count():
    histograms = Histograms(capacity=8)
    for step in range(100):
        histograms.begin(step)
        histograms.add("g", histograms.count(np.full(10, 2.0 ** (step % 3))))
    assert histograms.counts["g"].shape == (8, len(EDGES) - 1)
    assert histograms["g"].sum() == 1000
    assert histograms["g"].sum(axis=0)[np.searchsorted(EDGES, 1.0)] == 340


@pytest.mark.slow
def test_ten_thousand_steps_in_bounded_memory():
    model = network("relu", width=2)
    optimizer = SGD(model.parameters(), lr=0.01)

    def held(monitor):
        arrays = [monitor.history.sums, monitor.history.counts, *monitor.histograms.counts.values()]
        return sum(a.nbytes for a in arrays), len(monitor.walk.looks), len(monitor.waiting), len(monitor.used)

    with mg.GradientMonitor(model, optimizer, level="full") as monitor:
        train(model, optimizer, 300, monitor)
        before = held(monitor)
        train(model, optimizer, 9_700, monitor)
    assert held(monitor)[:1] == before[:1]
    assert monitor.history.length <= 1024
    assert monitor.history["step"][-1] >= 9_900


def test_a_step_lets_go_of_the_graph():
    model = network("relu")
    optimizer = SGD(model.parameters(), lr=0.01)
    with mg.GradientMonitor(model, optimizer) as monitor:
        train(model, optimizer, 3, monitor)
        assert monitor.walk.looks == []
        for _ in range(3):  # without step(), only the last pass is held
            CrossEntropy()(model(data()[0]), data()[1]).backward()
        assert len(monitor.walk.looks) == 3


# Histograms and maps


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_histograms_agree_with_numpy(dtype):
    rng = np.random.default_rng(0)
    x = (rng.choice([-1, 1], 5000) * 10 ** rng.uniform(-15, 6, 5000)).astype(dtype)
    x[:7] = [0, 1, -1, 2.0**-40, -(2.0**14), 3e38, -3e38]
    expected = [np.sum((abs(x) >= low) & (abs(x) < 2 * low) & (x > 0)) for low in 2.0 ** np.arange(-40, 14)]
    counts = octaves(x.reshape(50, 100).T)
    assert counts.sum() == 5000
    assert counts[56:110].tolist() == expected
    assert counts[1:55].tolist() == octaves(-x)[56:110][::-1].tolist()
    assert counts[55] == np.sum(abs(x) < 2.0**-40)
    assert counts[[0, -1]].tolist() == [np.sum(x <= -(2.0**14)), np.sum(x >= 2.0**14)]
    assert octaves(np.array([np.inf, np.nan, -np.inf], dtype)).take([0, -1]).sum() == 3


def test_a_large_array_is_counted_over_several_steps():
    x = np.random.default_rng(0).normal(size=(400, 300)).astype(np.float32)
    histograms, k = Histograms(), 9
    for step in range(k):
        histograms.begin(step)
        histograms.add("x", histograms.count(x))
        assert 12_000 < histograms["x"][step].sum() <= 2**14
    np.testing.assert_array_equal(histograms["x"].sum(axis=0), octaves(x))


def test_levels():
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


# Files


@pytest.fixture
def recorded():
    model = network("relu", "tanh")
    optimizer = SGD(model.parameters(), lr=0.1)
    x, labels = data(n=100)
    with mg.GradientMonitor(model, optimizer, level="full") as monitor:
        train(model, optimizer, 5, monitor, x=x, labels=labels)
    return monitor


def test_save_writes_everything_by_its_name(recorded, tmp_path):
    recorded.save(tmp_path / "run")
    with np.load(tmp_path / "run.npz") as file:
        arrays = dict(file)
    for key, values in recorded.history.items():
        np.testing.assert_array_equal(arrays[key], values)
    np.testing.assert_array_equal(arrays["histogram/activation/layers.0"], recorded.histograms["activation/layers.0"])
    np.testing.assert_array_equal(arrays["units/layers.0/active"], recorded.units["layers.0"]["active"])
    assert list(tmp_path.iterdir()) == [tmp_path / "run.npz"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "run.csv"
    path.write_text("old")
    history = History()
    history.begin(0)
    history.put("not a number", 1.0)
    monkeypatch.setattr(os, "replace", lambda new, old: 1 / 0)  # the only call that touches the old file
    with pytest.raises(ZeroDivisionError):
        history.to_csv(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


RUN = """
import sys, numpy as np, minigrad as mg
from layers import Dense, Sequential
from optim import SGD
model = Sequential(*[Dense(4, 4, "tanh") for _ in range(6)])
optimizer = SGD(model.parameters(), lr=0.01)
monitor = mg.GradientMonitor(model, optimizer, level="full")
while True:
    optimizer.zero_grad()
    mg.mse(model(np.ones((8, 4))), np.zeros((8, 4))).backward()
    monitor.step()
    optimizer.step()
    monitor.save(sys.argv[1])
"""


def test_a_killed_run_leaves_a_readable_file(tmp_path):
    path = tmp_path / "run.npz"
    for delay in (0.0, 0.013, 0.031):
        with subprocess.Popen([sys.executable, "-c", RUN, path], cwd=Path(__file__).parents[2]) as process:
            deadline = time.monotonic() + 60
            while not path.exists() and time.monotonic() < deadline:
                time.sleep(0.002)
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
        with np.load(path) as file:
            arrays = {key: file[key] for key in file.files}
        assert len(arrays["update_ratio/layers.0.weight"]) == len(arrays["step"]) > 0
        path.unlink()


def test_csv(recorded, tmp_path):
    recorded.to_csv(tmp_path / "run.csv")
    with open(tmp_path / "run.csv", newline="", encoding="utf-8") as file:
        head, *rows = list(csv.reader(file))
    assert head == list(recorded.history)
    columns = dict(zip(head, zip(*rows, strict=True), strict=True))
    for key, values in recorded.history.items():
        np.testing.assert_array_equal([float(cell or "nan") for cell in columns[key]], values)
    assert columns["dead/layers.0"][:2] == ("", "")  # fewer than 256 samples: empty, not 0


def events(folder):
    """Every (tag, step, value) in TensorBoard's event files; a histogram's value is its bucket counts."""
    proto = pytest.importorskip("tensorboardX.proto.event_pb2")
    for path in folder.iterdir():
        content, at = path.read_bytes(), 0
        while at < len(content):
            (size,) = struct.unpack_from("<Q", content, at)
            event = proto.Event.FromString(content[at + 12 : at + 12 + size])
            at += 16 + size
            for value in event.summary.value:
                yield value.tag, event.step, list(value.histo.bucket) or value.simple_value


def test_tensorboard(recorded, tmp_path):
    pytest.importorskip("tensorboardX")
    recorded.to_tensorboard(tmp_path)
    read = {(tag, step): value for tag, step, value in events(tmp_path)}
    for key in set(recorded.history) - {"step"}:
        for step, value in zip(recorded.history["step"], recorded.history[key], strict=True):
            assert ((key, step) in read) == (not np.isnan(value))
            if not np.isnan(value):
                assert read[key, step] == pytest.approx(value, rel=1e-6)
    counts = recorded.histograms["gradient/layers.0.weight"]
    for step in recorded.history["step"]:
        assert read["histogram/gradient/layers.0.weight", step] == counts[step].tolist()


def test_without_tensorboard_there_is_a_sentence(recorded, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ModuleNotFoundError, match="pip install tensorboardX"):
        recorded.to_tensorboard(tmp_path)


# Looking at it


def test_the_norm_of_those_that_are_trained():
    model = network("relu")
    optimizer = SGD(model.layers[0].parameters(), lr=0.1)
    with mg.GradientMonitor(model, optimizer) as monitor:
        train(model, optimizer, 1, monitor)
    norm = monitor.history["global_norm"][0]
    assert f"‖g‖ of all trained parameters {norm:.3g}, median {norm:.3g}; after" in monitor.table()


def test_marks_need_three_steps_in_a_row():
    model = network(*["sigmoid"] * 12, init="xavier_uniform")
    optimizer = SGD(model.parameters(), lr=1e-9)
    with mg.GradientMonitor(model, optimizer) as monitor:
        train(model, optimizer, 2, monitor)
        assert "!!" not in monitor.table().partition("! warning")[0]
        train(model, optimizer, 1, monitor)
    lines = {line.split()[0]: line for line in monitor.table().splitlines() if line}
    assert lines["layers.0"].endswith("!!")  # vanished
    assert lines["layers.11"].endswith("0.00")  # the last hidden layer
    assert lines["layers.0.weight"].endswith("!!")  # does not move
    assert lines["layers.0.bias"].endswith("—")  # it started at 0: no ratio


def test_a_healthy_net_has_no_marks():
    mg.seed(0)
    model = network("relu", "relu", width=32)
    optimizer = Adam(model.parameters(), lr=1e-3)
    x, labels = data(n=300)
    with mg.GradientMonitor(model, optimizer) as monitor:
        train(model, optimizer, 60, monitor, x=x, labels=labels)
    assert monitor.history["update_ratio/layers.0.bias"][-1] > 1e-2  # it started at 0
    assert "!" not in monitor.table().partition("! warning")[0]


@pytest.mark.parametrize(("layers", "lines"), [(3, 8), (30, 30)])
def test_plot(layers, lines, tmp_path):
    model = network(*["tanh"] * (layers - 1))
    optimizer = SGD(model.parameters(), lr=0.1)
    with mg.GradientMonitor(model, optimizer) as monitor:
        train(model, optimizer, 5, monitor, clip=0.1)
    figure = monitor.plot(tmp_path / "run.png")
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
    ratios, norms = figure.axes[:2]
    drawn = {line.get_label() for line in ratios.lines}
    assert {name for name, _ in model.named_parameters() if "weight" in name} <= drawn
    assert "after clipping" in {line.get_label() for line in norms.lines}
    assert ratios.get_yscale() == norms.get_yscale() == "log"
    assert "How to read" in figure.get_supxlabel()
    assert len(ratios.lines) >= lines - 1
    if layers == 3:  # so few are distinct even in grey
        for ax in (ratios, norms):
            assert len({line.get_linestyle() for line in ax.lines if "weight" in str(line.get_label())}) == 3


def test_a_weight_whose_name_begins_with_an_underscore_is_in_the_legend():
    model = Dense(2, 2, rng=0)
    model._own = Dense(2, 2, rng=1)
    with mg.GradientMonitor(model) as monitor:
        mg.sum(model._own(model(np.ones((3, 2))))).backward()
        monitor.step()
    (legend,) = monitor.plot().legends
    assert " _own.weight" in [label.get_text() for label in legend.get_texts()]


def test_plot_without_optimizer_and_without_global_state():
    code = """
import sys, numpy as np, minigrad as mg
from layers import Dense
model = Dense(2, 1)
monitor = mg.GradientMonitor(model)
assert "matplotlib" not in sys.modules
mg.mse(model(np.ones((4, 2))), np.zeros((4, 1))).backward()
monitor.step()
print(len(monitor.plot().axes), "matplotlib.pyplot" in sys.modules)
"""
    root = Path(__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["1", "False"]


def test_overhead_is_a_share_of_the_time():
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


def test_a_step_that_nobody_asked_for_does_not_count():
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


def test_a_monitor_refuses_to_record_after_the_step_of_the_optimizer():
    model, (x, labels) = network("relu"), data()
    optimizer = SGD(model.parameters(), lr=0.1)
    with mg.GradientMonitor(model, optimizer) as monitor:
        CrossEntropy()(model(x), labels).backward()
        optimizer.step()
        with pytest.raises(mg.GraphError, match=r"call it between backward\(\) .* and optimizer\.step\(\)"):
            monitor.step()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_gradient_of_which_nothing_arrives_has_vanished(dtype):
    tiny = np.sqrt(np.finfo(dtype).smallest_subnormal) / 4
    layers = [Dense(3, 3, "tanh", init=np.eye(3, dtype=dtype)) for _ in range(4)]
    model = Sequential(*layers, Dense(3, 1, init=np.ones((3, 1)))).astype(dtype)
    for layer in layers[1:3]:
        layer.weight.data *= tiny
    with mg.GradientMonitor(model) as monitor:
        for _ in range(3):
            mg.mean(model(np.ones((4, 3), dtype))).backward()
            monitor.step()
    rows = {line.split()[0]: line.split() for line in monitor.table().split("\n") if line.startswith("layers.")}
    assert rows["layers.0"][-2:] == ["−∞", "!!"]
    assert rows["layers.1"][-1] == "!!"
    assert float(rows["layers.1"][-2].replace("−", "-")) < -15
    assert rows["layers.3"][-1] == "0.00"
