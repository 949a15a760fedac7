"""Finite differences for whole layers."""

import numpy as np
import pytest

import minigrad as mg


@pytest.fixture
def assert_gradients():
    """`assert_gradients(f, *tensors)`: ∂Σ(f()·r)/∂t against central differences for every element, with random r."""

    def check(f, *tensors, step=1e-5, rtol=1e-6):
        with mg.no_grad():
            r = np.random.default_rng(7).normal(size=f().shape)
        for t in tensors:
            t.zero_grad()
        (f() * r).sum().backward()
        for t in tensors:
            numeric = np.zeros(t.shape)
            for index in np.ndindex(t.shape):
                sides = []
                for sign in (1, -1):
                    moved = t.data.copy()
                    moved[index] += sign * step
                    before, t.data = t.data, moved
                    with mg.no_grad():
                        sides.append((f().numpy() * r).sum())
                    t.data = before
                numeric[index] = (sides[0] - sides[1]) / (2 * step)
            np.testing.assert_allclose(t.grad, numeric, rtol=rtol, atol=rtol * max(1e-3, np.abs(numeric).max()))

    return check
