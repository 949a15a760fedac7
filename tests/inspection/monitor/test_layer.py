"""Dead units: which ReLU units are called dead, when, and which of them were so from birth."""

import numpy as np
import pytest

import minigrad as mg
from layers import CrossEntropy
from optim import SGD


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
def test_a_healthy_he_net_has_no_dead_unit(network, data, train, seed):
    model = network(*["relu"] * 3, width=64, features=32, seed=seed)
    optimizer = SGD(model.parameters(), lr=0.01)
    x, labels = data(n=512, features=32, seed=seed)
    with mg.GradientMonitor(model, optimizer) as monitor:
        train(model, optimizer, 5, monitor, x=x, labels=labels)
    shares = monitor.history.of("dead")
    assert len(shares) == 3
    assert max(share.max() for share in shares.values()) == 0
    assert min(monitor.history[f"activation_zeros/{name}"].min() for name in shares) > 0.4  # sparse, but alive


def test_units_that_are_dead_from_birth(network, data):
    model = network("relu", width=10)
    model[0].bias.data[[1, 4, 7]] = -1e6
    shares, born = dead(model, [data(n=100, seed=i) for i in range(5)])
    np.testing.assert_array_equal(shares, [np.nan, np.nan, 0.3, 0.3, 0.3])  # no verdict before 256 samples
    np.testing.assert_array_equal(born, shares)


def test_a_unit_that_dies_in_training_is_not_born_dead(network, data):
    model = network("relu", width=10)
    shares, born = dead(model, [data(n=200, seed=i) for i in range(9)], window=3, kill={4: [2, 3]})
    np.testing.assert_array_equal(shares, [np.nan, 0, 0, 0, 0, 0, 0.2, 0.2, 0.2])  # silent for three batches
    np.testing.assert_array_equal(born[1:], 0)


def test_without_a_window_a_unit_dies_by_the_reset(network, data):
    batches = [data(n=200, seed=i) for i in range(8)]
    never, _ = dead(network("relu", width=10), batches, window=None, kill={2: [5]})
    np.testing.assert_array_equal(never[1:], 0)
    after, born = dead(network("relu", width=10), batches, window=None, kill={2: [5]}, reset_after=4)
    assert after[-1] == 0.1
    assert born[-1] == 0


def test_small_batches_wait_for_256_samples(network, data):
    shares, _ = dead(network("relu", width=10), [data(n=32, seed=i) for i in range(20)], window=2, kill={10: [0]})
    assert np.isnan(shares[:7]).all()
    np.testing.assert_array_equal(shares[7:], [0] * 10 + [0.1] * 3)  # 256 samples, 8 batches, after its last activity


def test_one_active_sample_is_life(network):
    model = network("relu", width=4)
    model[0].weight.data = np.eye(6)[:, :4]
    x = -np.ones((300, 6))
    x[17, 2] = 0.1
    shares, _ = dead(model, [(x, np.zeros(300, int))])
    assert shares[0] == 0.75
