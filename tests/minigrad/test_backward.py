"""backward(): what arrives in .grad, from one thread or several, and what is freed afterwards."""

import gc
import os
import subprocess
import sys
import threading
import tracemalloc
import weakref

import numpy as np
import pytest

import minigrad as mg


def leaf(x, **keywords):
    return mg.tensor(x, requires_grad=True, **keywords)


# What arrives


def test_backward_accumulates():
    x = leaf(3.0)
    y = x * x
    y.backward()
    y.backward()
    assert x.grad.item() == 12
    (2 * x).backward()
    assert x.grad.item() == 14


def test_retain_grad_fills_every_tensor_in_between_afresh():
    x = leaf(2.0)
    h = x * x
    y = 3 * h
    for _ in range(2):
        y.backward(retain_grad=True)
        assert h.grad.item() == 3
        assert y.grad.item() == 1
    assert x.grad.item() == 24
    (2 * h).backward(retain_grad=True)
    assert h.grad.item() == 2


def test_without_retain_grad_only_leaves_get_a_gradient():
    x = leaf(2.0)
    h = x * x
    (3 * h).backward()
    assert h.grad is None


@pytest.mark.parametrize("gradient", [[1.0, 10.0], np.array([1, 10]), mg.tensor([1.0, 10.0])])
def test_backward_with_a_gradient(gradient):
    x = leaf([3.0, 4.0], dtype="float32")
    (x * x).backward(gradient)
    assert x.grad.tolist() == [6, 80]
    assert x.grad.dtype == np.float32


def test_backward_from_a_leaf():
    x = leaf([1.0, 2.0])
    x.backward([5.0, 6.0])
    assert x.grad.tolist() == [5, 6]


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda x: (x * x).backward(), mg.GraphError, r"shape \(2,\) needs gradient= .*, or .sum\(\)"),
        (lambda x: mg.tensor(1.0).backward(), mg.GraphError, "nothing to differentiate"),
        (lambda x: x.detach().sum().backward(), mg.GraphError, "nothing to differentiate"),
        (lambda x: (x * x).backward([1.0, 2.0, 3.0]), ValueError, r"gradient of shape \(3,\) does not fit .*\(2,\)"),
    ],
)
def test_wrong_calls_of_backward_say_what_is_wrong(call, kind, message):
    x = leaf([1.0, 2.0])
    with pytest.raises(kind, match=message):
        call(x)
    assert x.grad is None


def test_backward_does_not_write_into_the_gradient_that_is_there():
    x = leaf([1.0, 2.0])
    x.sum().backward()
    held = x.grad
    x.sum().backward()
    assert held.tolist() == [1, 1]
    assert x.grad.tolist() == [2, 2]


def test_0d_gradients_are_arrays():
    x = leaf(2.0)
    for _ in range(3):
        (x * x + x + x).backward()
    assert type(x.grad) is np.ndarray
    assert x.grad.shape == ()
    x.grad[...] = 7
    assert x.grad.item() == 7


# Threads and processes


def test_threads_that_share_a_leaf_lose_no_gradient():
    w = leaf(np.zeros(100_000))

    def add():
        for _ in range(50):
            w.sum().backward()

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.all(w.grad == 200)


FORKING = """
import os, signal, threading, time
import minigrad as mg
from minigrad.settings import accumulating

held = threading.Event()

def add():
    with accumulating:
        held.set()
        time.sleep(0.2)

threading.Thread(target=add).start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(10)
    w = mg.tensor(1.0, requires_grad=True)
    (2 * w).backward()
    os._exit(0 if w.grad == 2 else 1)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_forked_while_a_thread_adds_a_gradient_adds_its_own():
    subprocess.run([sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING], check=True, timeout=60)


# Memory


def test_gradients_and_their_copies_are_not_in_memory_together():
    leaves = [leaf(np.zeros(10_000)) for _ in range(20)]
    loss = sum((2.0 * x).sum() for x in leaves)
    for _ in range(2):  # a second pass adds to the first
        tracemalloc.start()
        loss.backward()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1.5 * 20 * leaves[0].data.nbytes


def test_a_detached_tensor_lets_its_history_go():
    """As in a recurrent net that is cut every few steps, or a list of the losses so far."""
    gc.disable()
    try:
        w, h = leaf([1.0, 2.0]), mg.tensor([0.5, 0.5])
        alive = []
        for _ in range(3):
            y = np.tanh(h * w).reshape(1, 2).reshape(2)
            alive.append(weakref.ref(y))
            h = y.detach()
        del y
        assert [ref() is None for ref in alive] == [True, True, True]
    finally:
        gc.enable()
