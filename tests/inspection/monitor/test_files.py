"""Files: .npz, CSV and TensorBoard have all that was recorded, also if the run is killed."""

import csv
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad.inspection.monitor.history import History
from optim import SGD


@pytest.fixture
def recorded(network, data, train):
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
        with subprocess.Popen([sys.executable, "-c", RUN, path], cwd=Path(__file__).parents[3]) as process:
            deadline = time.monotonic() + 60
            while not path.exists() and time.monotonic() < deadline:
                time.sleep(0.002)
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
        with np.load(path) as file:
            arrays = {key: file[key] for key in file.files}
        assert len(arrays["update_ratio/layers.0.weight"]) == len(arrays["step"]) > 0
        path.unlink()


def test_csv_has_every_number_and_an_empty_cell_where_there_is_none(recorded, tmp_path):
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


def test_tensorboard_reads_every_number_and_histogram(recorded, tmp_path):
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
