"""Whom a monitor hears: `backward()` in its own thread, and its optimizer, until it is closed or freed."""

import threading

import numpy as np
import pytest

import minigrad as mg
from layers import CrossEntropy, Dense, Sequential
from minigrad.settings import state
from optim import SGD

# Opening and closing


def test_closing_takes_every_listener_away(network, train):
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


def test_a_monitor_that_nobody_holds_stops_listening(network, train):
    model = network("relu")
    optimizer = SGD(model.parameters(), lr=0.1)
    monitor = mg.GradientMonitor(model, optimizer, level="full")
    train(model, optimizer, 2, monitor)
    history = monitor.history
    del monitor
    assert (state.listeners, optimizer.meters) == ((), [])
    train(model, optimizer, 2)
    assert history["step"].tolist() == [0, 1]


def test_the_optimizer_measures_only_the_steps_that_are_recorded(network, data):
    model, (x, labels) = network("relu"), data()
    optimizer, measured = SGD(model.parameters(), lr=0.1), []
    with mg.GradientMonitor(model, optimizer, every=3) as monitor:
        for _ in range(7):
            optimizer.zero_grad()
            CrossEntropy()(model(x), labels).backward()
            monitor.step()
            measured.append(len(optimizer.meters))
            optimizer.step()
    assert measured == [1, 0, 0, 1, 0, 0, 1]
    assert all(np.isfinite(monitor.history["update_ratio/layers.0.weight"]))
    assert monitor.history["step"].tolist() == [0, 3, 6]
    assert optimizer.meters == []


def test_another_thread_can_close_it(network, data):
    model, (x, labels) = network("relu"), data()
    monitor = mg.GradientMonitor(model)
    thread = threading.Thread(target=monitor.close)
    thread.start()
    thread.join()
    CrossEntropy()(model(x), labels).backward()
    assert monitor.walk.looks == []
    monitor.close()
    assert state.listeners == ()


def test_an_error_in_the_block_closes_it(network):
    with pytest.raises(KeyError), mg.GradientMonitor(network("relu")):
        raise KeyError
    assert state.listeners == ()


# Whom it does not hear


def test_a_trace_in_between_is_not_heard(network, data):
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


def test_two_monitors_of_one_model(network, data, train):
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


def test_threads_do_not_hear_each_other(train):
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
