"""The history: a long run in a fixed amount of memory."""

import numpy as np
import pytest

from minigrad.inspection.monitor.history import History


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
    assert repr(history) == "<History of 2 quantities: 40 rows, one per 256 recorded steps>"
    whole = len(values) // 256 * 256
    blocks = values[:whole].reshape(-1, 256)
    np.testing.assert_array_equal(history["step"][:-1], np.arange(0, whole, 256))
    np.testing.assert_allclose(history["every"][:-1], blocks.mean(axis=1))
    np.testing.assert_allclose(history["odd"][:-1], blocks[:, 1::2].mean(axis=1))
    np.testing.assert_allclose(history["every"][-1], values[whole:].mean())
    assert [row["every"] for row in history.recent] == values[-3:].tolist()


def test_a_spike_to_infinity_is_not_averaged_away():
    history = History(capacity=4)
    for step in range(20):
        history.begin(step)
        history.put("norm", np.inf if step == 5 else 1.0)
        if step == 2:
            assert repr(history) == "<History of 1 quantities: 3 rows, one per recorded step>"
    assert np.isinf(history["norm"]).sum() == 1


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
