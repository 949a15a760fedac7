"""The table of the last step, and the marks in it."""

import numpy as np
import pytest

import minigrad as mg
from layers import CrossEntropy, Dense, Sequential
from optim import SGD, Adam


def test_the_norm_of_those_that_are_trained(network, train):
    model = network("relu")
    optimizer = SGD(model.layers[0].parameters(), lr=0.1)
    with mg.GradientMonitor(model, optimizer) as monitor:
        train(model, optimizer, 1, monitor)
    norm = monitor.history["global_norm"][0]
    assert f"‖g‖ of all trained parameters {norm:.3g}, median {norm:.3g}; after" in monitor.table()


def test_a_prompt_shows_the_table_as_it_is_printed(network, train):
    model = network("relu")
    optimizer = SGD(model.parameters(), lr=0.1)
    with mg.GradientMonitor(model, optimizer) as monitor:
        train(model, optimizer, 1, monitor)
    assert repr(monitor.table()) == str(monitor.table())


def test_marks_need_three_steps_in_a_row(network, train):
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


def test_a_healthy_net_has_no_marks(network, data, train):
    mg.seed(0)
    model = network("relu", "relu", width=32)
    optimizer = Adam(model.parameters(), lr=1e-3)
    x, labels = data(n=300)
    with mg.GradientMonitor(model, optimizer) as monitor:
        train(model, optimizer, 60, monitor, x=x, labels=labels)
    assert monitor.history["update_ratio/layers.0.bias"][-1] > 1e-2  # it started at 0
    assert "!" not in monitor.table().partition("! warning")[0]


def test_what_is_not_finite_three_times_is_an_alarm(network, data):
    model = network("relu")
    x, labels = data()
    x[3, 2] = np.nan
    with mg.GradientMonitor(model) as monitor:
        for step in range(3):
            CrossEntropy()(model(x), labels).backward()
            monitor.step()
            lines = {line.split()[0]: line for line in monitor.table().splitlines() if line}
            for name in ("layers.0", "layers.0.weight", "layers.0.bias"):
                assert ("inf !!" in lines[name]) == (step == 2)
    assert "NaN" in lines["inf"]


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
