"""The picture of a run: update ratios and gradient norms over time."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from layers import Dense
from optim import SGD


@pytest.mark.parametrize(("layers", "lines"), [(3, 8), (30, 30)])
def test_each_weight_has_a_line_and_few_lines_can_be_told_apart_in_grey(network, train, layers, lines, tmp_path):
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


def test_one_step_is_seen(network, train):
    model = network("tanh", "tanh")
    optimizer = SGD(model.parameters(), lr=0.1)
    with mg.GradientMonitor(model, optimizer) as monitor:
        train(model, optimizer, 1, monitor)
    named = [line for ax in monitor.plot().axes for line in ax.lines if "weight" in str(line.get_label())]
    assert len(named) == 6
    assert all(len(line.get_xdata()) == 1 and line.get_marker() == "." for line in named)


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
    root = Path(__file__).parents[3]
    result = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["1", "False"]


@pytest.mark.parametrize("exponent", [150, 280, 300])
def test_a_run_that_explodes_can_be_drawn(exponent, tmp_path):
    """Matplotlib's own limits and ticks, beyond the largest number, would be infinite."""
    model = Dense(2, 2, rng=0)
    with mg.GradientMonitor(model) as monitor:
        for scale in (1.0, 10.0**exponent):
            model.zero_grad()
            mg.sum(model(np.ones((3, 2))) * scale).backward()
            monitor.step()
    (ax,) = monitor.plot(tmp_path / "run.png").axes
    low, high = ax.get_ylim()
    assert 0 < low < monitor.history["global_norm"].min() < monitor.history["global_norm"].max() < high < np.inf
