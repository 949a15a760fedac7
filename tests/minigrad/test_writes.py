"""Writes in place: one that would make a gradient wrong is an error, any other is no harm."""

import copy
import operator

import numpy as np
import pytest

import minigrad as mg


def leaf(x, **keywords):
    return mg.tensor(x, requires_grad=True, **keywords)


def changed():
    return pytest.raises(mg.GraphError, match="changed in place")


# Writes to leaves and constants


def test_a_write_between_use_and_backward_is_noticed():
    w = leaf([1.0, 2.0])
    loss = (w * w).sum()
    w.data -= 0.1
    with changed():
        loss.backward()
    assert w.grad is None
    (w * w).sum().backward()
    np.testing.assert_allclose(w.grad, 2 * w.data)


@pytest.mark.parametrize("shape", [(), (1,), (2, 2)])
def test_every_augmented_write_is_noticed(shape):
    for write in (operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow):
        w = leaf(np.full(shape, 2.0))
        loss = (w * w).sum()
        before = w.data
        w.data = write(w.data, 3.0)
        assert w.data is before
        with changed():
            loss.backward()


def test_a_state_kept_from_an_earlier_step_needs_detach():
    w, h = leaf([1.0, 2.0]), mg.tensor([1.0, 1.0])
    h = h * w
    h.sum().backward()
    w.data -= 1
    with pytest.raises(mg.GraphError, match=r"\.detach\(\) a state kept from an earlier step"):
        (h * w).sum().backward()
    (h.detach() * w).sum().backward()


def test_a_write_to_a_constant_is_noticed():
    x, c = leaf([1.0, 2.0]), mg.tensor([3.0, 4.0])
    loss = (x * c).sum()
    c.data += 1
    with changed():
        loss.backward()
    assert x.grad is None


def test_writes_are_noticed_by_grad_and_trace_as_well():
    w = leaf([1.0, 2.0])
    loss = (w * w).sum()
    w.data -= 1
    for call in (lambda: mg.grad(loss, w), lambda: mg.grad(loss, w, create_graph=True), lambda: mg.trace(loss)):
        with changed():
            call()


# Through views


@pytest.mark.parametrize(
    "view",
    [
        lambda w: w.detach(),
        lambda w: w.detach().detach(),
        copy.copy,
        lambda w: mg.no_grad()(lambda: w[1:])(),
        lambda w: mg.no_grad()(lambda: w.reshape(3, 1).T)(),
        lambda w: w.detach()[:2],
        lambda w: w[1:],
        lambda w: w.reshape(3, 1).T,
        lambda w: w[1:].detach(),
    ],
)
def test_a_write_through_a_view_is_noticed(view):
    w = leaf([1.0, 2.0, 3.0])
    loss = (w * w).sum()
    v = view(w)
    v.data -= 1
    assert np.shares_memory(v.data, w.data)
    with changed():
        loss.backward()


@pytest.mark.parametrize(
    "view",
    [
        lambda w: w.detach(),
        lambda w: w.detach()[1:],
        copy.copy,
        lambda w: w[1:],
        lambda w: w.T,
        lambda w: w.reshape(3, 1).detach(),
        lambda w: w[1:].T.detach()[:1],
    ],
)
def test_a_write_to_what_a_view_shows_is_noticed(view):
    w, x = leaf([1.0, 2.0, 3.0]), leaf(2.0)
    loss = (view(w) * x).sum()
    w.data += 1
    with changed():
        loss.backward()


def test_a_write_to_a_view_of_a_result_is_noticed():
    x = leaf([1.0, 2.0])
    y = np.exp(x)
    loss = y.sum()
    y.reshape(2, 1).detach().data[...] = 0  # a write through NumPy's array cannot be noticed
    y.reshape(2, 1).data -= 1
    with changed():
        loss.backward()


def test_a_write_through_a_detached_result_is_noticed_where_nothing_was_computed_from_it():
    x = leaf(2.0)
    y = np.exp(x)
    y.detach().data -= 1
    for call in (y.backward, lambda: mg.grad(y, x), lambda: mg.trace(y)):
        with changed():
            call()
    assert x.grad is None


# To results


def test_a_write_to_a_result_is_noticed():
    """exp' is computed from the result of exp: with that array changed, the gradient would be wrong."""
    x = leaf([1.0, 2.0])
    x.data += 1  # counted, but harmless before x is used
    y = np.exp(x)
    y.data -= 1
    with changed():
        y.sum().backward()
    with changed():
        (y * 2).sum().backward()


def test_a_write_to_a_result_is_noticed_by_the_second_derivative():
    x = leaf(1.0)
    y = np.exp(x)
    (slope,) = mg.grad(y, x, create_graph=True)
    y.detach().data *= 0
    with changed():
        mg.grad(slope, x)


# Writes that do no harm


def test_a_write_after_backward_is_no_harm():
    w = leaf([1.0, 2.0])
    for _ in range(3):
        w.zero_grad()
        (w * w).sum().backward()
        w.data -= 0.1 * w.grad
    np.testing.assert_allclose(w.data, 0.8**3 * np.array([1, 2]))


def test_an_untouched_tensor_is_not_accused():
    w, v = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    loss = (w * w).sum()
    v.data += 1
    w.grad = 5
    w.grad += 1
    w.detach()
    result = w * 2.0  # an array of its own
    result.data += 1
    loss.backward()
    np.testing.assert_allclose(w.grad, 6 + 2 * w.data)


def test_a_write_before_use_is_no_harm():
    w, x = leaf([1.0, 2.0]), leaf(2.0)
    w.data += 1
    view = w.detach()
    with mg.no_grad():
        result = w * 2.0
    loss = (view * x + result * x).sum()
    loss.backward()
    assert x.grad == 15


def test_a_write_to_what_an_unrecorded_result_was_computed_from_is_no_harm():
    w, x = leaf([1.0, 2.0]), leaf(2.0)
    with mg.no_grad():
        result = w * 2.0
    loss = (result * x).sum()
    w.data += 1
    loss.backward()
    assert x.grad == 6


# Replacing data


def test_new_data_does_not_disturb_a_pending_backward():
    w = leaf([1.0, 2.0])
    loss = (w * w).sum()
    w.data = [10.0, 20.0]
    loss.backward()
    np.testing.assert_array_equal(w.grad, [2, 4])  # at the value that the loss was computed with
    w.zero_grad()
    (w * w).sum().backward()
    np.testing.assert_array_equal(w.grad, [20, 40])


def test_new_data_is_an_error_where_the_gradient_is_to_carry_a_graph():
    w = leaf([1.0, 2.0])
    loss = (w * w).sum()
    w.data = [10.0, 20.0]
    with pytest.raises(mg.GraphError, match=r"multiply: \.data of an input was replaced"):
        mg.grad(loss, w, create_graph=True)
