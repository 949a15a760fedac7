"""Histograms: every element is counted once, in a bin of one octave."""

import numpy as np
import pytest

from minigrad.inspection.monitor.histogram import EDGES, Histograms, count_octaves, octaves
from minigrad.kernels import use
from minigrad.kernels.dispatch import available


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
    histograms, k = Histograms(), 31
    for step in range(k):
        histograms.begin(step)
        histograms.add("x", histograms.count(x))
        assert 3_800 < histograms["x"][step].sum() <= 2**12
    np.testing.assert_array_equal(histograms["x"].sum(axis=0), octaves(x))


def test_in_a_large_model_the_same_is_counted_of_a_small_array(monkeypatch):
    x = np.random.default_rng(0).normal(size=10)
    expected = Histograms().count(x)
    if available():
        monkeypatch.setattr(count_octaves, "line", None)
    with use("auto"):
        np.testing.assert_array_equal(Histograms(size=10_000).count(x), expected)


def test_histograms_are_bounded_and_keep_every_count():
    histograms = Histograms(capacity=8)
    for step in range(100):
        histograms.begin(step)
        histograms.add("g", histograms.count(np.full(10, 2.0 ** (step % 3))))
    assert histograms.counts["g"].shape == (8, len(EDGES) - 1)
    assert histograms["g"].sum() == 1000
    assert list(histograms) == ["g"]
    assert histograms["g"].sum(axis=0)[np.searchsorted(EDGES, 1.0)] == 340
