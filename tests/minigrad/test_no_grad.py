"""no_grad: nothing is recorded inside it, and only there."""

import threading

import pytest

import minigrad as mg


def leaf(x, **keywords):
    return mg.tensor(x, requires_grad=True, **keywords)


def test_no_grad_as_a_context_and_as_a_decorator():
    x = leaf(2.0)

    @mg.no_grad()
    def square(x):
        return x * x

    with mg.no_grad():
        assert not (x * x).requires_grad
        with mg.no_grad():
            pass
        assert (x * x).is_leaf
    assert not square(x).requires_grad
    assert not square(x).requires_grad
    assert (x * x).requires_grad


def test_no_grad_decorates_without_parentheses_too():
    @mg.no_grad
    def power(x, *, n):
        """x to the n."""
        return x**n

    x = leaf(2.0)
    assert (power.__name__, power.__doc__) == ("power", "x to the n.")
    for _ in range(2):
        assert power(x, n=3).is_leaf
        assert (x * x).requires_grad


def test_one_no_grad_may_be_entered_again_and_within_itself():
    x, quiet = leaf(2.0), mg.no_grad()
    for _ in range(2):
        with quiet:
            with quiet:
                assert (x * x).is_leaf
            assert (x * x).is_leaf
        assert (x * x).requires_grad

    @quiet
    def power(x, n):
        return x * power(x, n - 1) if n else x

    assert power(x, 3).is_leaf
    assert (x * x).requires_grad


def test_no_grad_holds_in_its_own_thread_only_also_if_one_serves_several():
    x, quiet, inside, go = leaf(2.0), mg.no_grad(), threading.Event(), threading.Event()
    found = []

    def enter():
        with quiet:
            inside.set()
            go.wait(5)
            found.append((x * x).requires_grad)
        found.append((x * x).requires_grad)

    thread = threading.Thread(target=enter)
    with quiet:
        thread.start()
        assert inside.wait(5)  # it entered after this thread, and leaves after it
    assert (x * x).requires_grad
    go.set()
    thread.join()
    assert found == [False, True]


def test_no_grad_ends_after_an_error():
    with pytest.raises(ZeroDivisionError), mg.no_grad():
        raise ZeroDivisionError
    assert (leaf(1.0) * 2).requires_grad
