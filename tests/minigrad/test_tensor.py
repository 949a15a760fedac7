"""The contract of Tensor: data and grad, operators, repr, backward, writes in place."""

import gc
import operator
import os
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

import minigrad as mg


def leaf(x, **keywords):
    return mg.tensor(x, requires_grad=True, **keywords)


# Making one


def test_data_is_copied():
    array = np.array([1.0, 2.0])
    t = mg.tensor(array)
    again = mg.tensor(t)
    array += 1
    again.data += 5
    assert t.data.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (3, "float64"),
        (3.5, "float64"),
        ([1, 2], "float64"),
        ([[1.0], [2.0]], "float64"),
        ([True, False], "bool"),
        (np.array([1, 2]), "int64"),
        (np.array([1, 2], "uint8"), "uint8"),
        (np.float32(3), "float32"),
        (np.array(3.0, "float32"), "float32"),
        (np.ones(2, bool), "bool"),
        (mg.tensor([1.0], dtype="float32"), "float32"),
    ],
)
def test_arrays_keep_their_dtype_and_numbers_get_the_default(data, dtype):
    assert mg.tensor(data).dtype == dtype


def test_the_default_dtype_can_be_set():
    mg.set_default_dtype("float32")
    assert mg.tensor([1, 2]).dtype == np.float32
    assert mg.tensor(np.ones(2)).dtype == np.float64
    assert mg.tensor(1.0, dtype="float64").dtype == np.float64


@pytest.mark.parametrize("dtype", ["float16", "complex128", "datetime64[s]"])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(TypeError, match="tensors hold float32, float64, integers or booleans"):
        mg.tensor(np.zeros(2, dtype))


@pytest.mark.parametrize("data", [np.array([1, 2]), np.array([True]), mg.tensor(np.array(1))])
def test_integers_and_booleans_cannot_require_gradients(data):
    with pytest.raises(TypeError, match="only floating tensors can require gradients"):
        leaf(data)


def test_integers_cannot_be_made_to_require_gradients_later():
    counts = mg.tensor(np.array([1, 2]))
    with pytest.raises(TypeError, match="only floating tensors can require gradients, not int64"):
        counts.requires_grad = True
    assert counts.requires_grad is False
    weights = mg.tensor([1.0, 2.0])
    weights.requires_grad = True
    (weights * counts * 2.5).sum().backward()
    assert weights.grad.tolist() == [2.5, 5]


def test_attributes():
    t = mg.tensor([[1.0, 2.0, 3.0]], name="t")
    assert (t.shape, t.ndim, t.size, t.dtype, t.name) == ((1, 3), 2, 3, np.float64, "t")
    assert t.T.shape == (3, 1)
    assert t.is_leaf
    assert t.grad is None
    assert not t.requires_grad
    assert not (leaf(1.0) * 2).is_leaf
    t.name = "u"
    assert "name='u'" in repr(t)


# Assigning data and grad


@pytest.mark.parametrize("what", ["data", "grad"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, [[0, 0], [0, 0]]),
        ([5, 6], [[5, 6], [5, 6]]),
        (np.array([[1], [2]], "int8"), [[1, 1], [2, 2]]),
        (mg.tensor([5.0, 6.0]), [[5, 6], [5, 6]]),
    ],
)
def test_what_is_assigned_is_broadcast_and_cast(what, value, expected):
    t = leaf(np.ones((2, 2), "float32"))
    setattr(t, what, value)
    found = getattr(t, what)
    assert found.tolist() == expected
    assert found.dtype == np.float32
    assert found.flags.writeable


@pytest.mark.parametrize("what", ["data", "grad"])
def test_another_shape_is_refused_with_both_shapes(what):
    t = leaf(np.ones((2, 3)))
    with pytest.raises(ValueError, match=rf"{what} of shape \(4,\) does not fit a tensor of shape \(2, 3\)"):
        setattr(t, what, np.ones(4))
    with pytest.raises(ValueError, match=r"\(5, 2, 3\) does not fit"):
        setattr(t, what, np.ones((5, 2, 3)))


def test_what_is_assigned_is_copied():
    t, array = leaf([1.0, 2.0]), np.array([3.0, 4.0])
    t.data = t.grad = array
    array += 1
    assert t.data.tolist() == t.grad.tolist() == [3, 4]
    assert not np.shares_memory(t.data, t.grad)


def test_grad_can_be_forgotten():
    t = leaf(1.0)
    t.grad = 3
    t.grad = None
    assert t.grad is None
    t.grad = 3
    t.zero_grad()
    assert t.grad is None


# Looking at one


def test_repr_of_leaves():
    assert repr(mg.tensor([1.0, 2.0])) == "tensor([1., 2.], shape=(2,))"
    assert repr(leaf(3.0, name="w", dtype="float32")) == (
        "tensor(3., shape=(), dtype=float32, name='w', requires_grad=True)"
    )
    mg.set_default_dtype("float32")
    assert "dtype" not in repr(mg.tensor([1.0]))


def test_repr_is_shortened():
    text = repr(mg.tensor(np.arange(1000.0)))
    assert "..." in text
    assert len(text) < 100
    assert "shape=(1000,)" in text


def test_repr_says_which_op_made_it_and_where_its_gradient_is():
    x = leaf(2.0)
    h = x * x
    assert "op=multiply" in repr(h)
    assert "grad: not kept (backward(retain_grad=True), or trace(loss)[h].grad)" in repr(h)
    h.name = "square"
    assert "trace(loss)[square].grad" in repr(h)
    h.backward(retain_grad=True)
    assert "not kept" not in repr(h)


def test_item_numpy_detach_astype():
    t = leaf([[2.5]])
    assert t.item() == 2.5
    assert isinstance(t.item(), float)
    assert t.numpy() is t.data
    assert not t.detach().requires_grad
    assert np.shares_memory(t.detach().data, t.data)
    assert t.astype("float32").dtype == np.float32
    with pytest.raises(ValueError, match="size"):
        mg.tensor([1.0, 2.0]).item()


def test_astype_carries_the_gradient_back_in_the_old_dtype():
    t = leaf([1.0, 2.0])
    (t.astype("float32") * 3).sum().backward()
    assert t.grad.tolist() == [3, 3]
    assert t.grad.dtype == np.float64


def test_len_iteration_float_bool():
    t = leaf([[1.0, 2.0], [3.0, 4.0]])
    assert len(t) == 2
    rows = list(t)
    assert [row.data.tolist() for row in rows] == [[1, 2], [3, 4]]
    (rows[0] * rows[1]).sum().backward()
    assert t.grad.tolist() == [[3, 4], [1, 2]]
    assert float(mg.tensor([2.5])) == 2.5
    assert bool(mg.tensor(1.0)) is True
    assert bool(mg.tensor([[0.0]])) is False
    assert int(mg.tensor([2.5])) == 2
    assert 3.0 in mg.tensor([1.0, 3.0])
    assert 3.0 in t
    assert 5.0 not in t


def test_a_single_number_is_formatted_as_one():
    loss = leaf(1.23456) * 1.0
    assert f"{loss:.3f}" == f"{mg.tensor([1.23456]):.3f}" == "1.235"
    assert f"{loss}" == str(loss)
    with pytest.raises(TypeError, match="format"):
        f"{leaf([1.0, 2.0]):.3f}"


@pytest.mark.parametrize("call", [len, list])
def test_a_single_number_has_no_length(call):
    with pytest.raises(TypeError):
        call(mg.tensor(1.0))


@pytest.mark.parametrize("call", [bool, float, int])
def test_several_elements_are_not_one_number(call):
    with pytest.raises((ValueError, TypeError)):
        call(mg.tensor([1.0, 2.0]))


def test_an_array_of_a_tensor():
    assert np.asarray(mg.tensor([1.0, 2.0])).tolist() == [1, 2]
    with pytest.raises(TypeError, match=r"\.numpy\(\), or mg\.stack"):
        np.asarray(leaf([1.0, 2.0]))
    with pytest.raises(TypeError, match=r"mg\.stack"):
        np.array([leaf(1.0), leaf(2.0)])


def test_tensors_hash_by_identity():
    a, b = mg.tensor([1.0]), mg.tensor([1.0])
    assert len({a, b, a}) == 2
    assert {a: "a"}.get(b) is None


# Operators

BINARY = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
OTHERS = [
    2,
    2.5,
    True,
    [1.0, 2.0],
    np.array([1.0, 2.0]),
    np.float64(2),
    np.float32(2),
    np.array(2),
    mg.tensor([1.0, 2.0]),
]


@pytest.mark.parametrize("op", BINARY)
@pytest.mark.parametrize("other", OTHERS, ids=repr)
def test_operators_with_operands_of_every_kind_on_either_side(op, other):
    t = leaf([3.0, 4.0])
    array = np.asarray(other.data if isinstance(other, mg.Tensor) else other)
    for found, expected in [(op(t, other), op(t.data, array)), (op(other, t), op(array, t.data))]:
        assert isinstance(found, mg.Tensor)
        assert found.requires_grad
        np.testing.assert_allclose(found.data, expected, rtol=1e-15)


@pytest.mark.parametrize("other", [np.eye(2), [[1.0, 2.0], [3.0, 4.0]], np.array([1.0, 2.0]), mg.tensor(np.eye(2))])
def test_matmul_on_either_side(other):
    t = leaf([[1.0, 2.0], [3.0, 4.0]])
    array = np.asarray(other.data if isinstance(other, mg.Tensor) else other)
    for found, expected in [(t @ other, t.data @ array), (other @ t, array @ t.data)]:
        assert isinstance(found, mg.Tensor)
        np.testing.assert_allclose(found.data, expected)


def test_unary_operators():
    t = leaf([-1.0, 2.0])
    assert (-t).data.tolist() == [1, -2]
    assert abs(t).data.tolist() == [1, 2]
    (abs(t) - -+t).sum().backward()
    assert t.grad.tolist() == [0, 2]


@pytest.mark.parametrize("op", [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge])
@pytest.mark.parametrize("other", [2, 2.0, np.array([1.0, 2.0, 3.0]), mg.tensor([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]])
def test_comparisons_give_boolean_arrays(op, other):
    t = leaf([2.0, 2.0, 2.0])
    array = np.asarray(other.data if isinstance(other, mg.Tensor) else other)
    for found, expected in [(op(t, other), op(t.data, array)), (op(other, t), op(array, t.data))]:
        assert type(found) is np.ndarray
        assert found.dtype == bool
        assert found.tolist() == expected.tolist()


def test_comparisons_of_single_numbers_and_with_what_is_no_number():
    assert type(leaf(1.0) < 2) is np.ndarray
    assert operator.eq(leaf([1.0, 2.0]), None).tolist() == [False, False]
    assert (leaf([1.0, 2.0]) != "a").tolist() == [True, True]
    assert leaf(0.1) + 0.2 == pytest.approx(0.3)
    with pytest.raises(ValueError, match=r"\(2,\) \(3,\)"):
        operator.eq(leaf([1.0, 2.0]), leaf([1.0, 2.0, 3.0]))


def test_python_numbers_leave_float32_alone():
    t = mg.tensor([1.0, 2.0], dtype="float32")
    for found in (t + 1, 2 * t, t / 3.0, 1 / t, t**2, t - True, -t):
        assert found.dtype == np.float32
    assert (np.float64(2) * t).dtype == np.float64  # NumPy's numbers have a dtype
    assert (mg.tensor(2.0) * t).dtype == np.float64


@pytest.mark.parametrize("op", [operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow])
def test_augmented_assignment_rebinds(op):
    x = leaf([1.0, 2.0])
    y = op(x, 3.0)
    assert y is not x
    assert x.data.tolist() == [1, 2]
    array = np.array([1.0, 2.0])
    assert isinstance(array + x, mg.Tensor)
    y.sum().backward()
    assert x.grad is not None


def test_an_array_is_not_written_to_by_a_tensor():
    array = np.array([1.0, 2.0])
    before = array
    with pytest.raises(TypeError):
        array += leaf([1.0, 1.0])
    assert before.tolist() == [1, 2]


@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        slice(1, None),
        (slice(None), 1),
        (..., None, 0),
        [0, 0, 1],
        np.array([1, 1]),
        np.array([True, False]),
        ([0, 1], [2, 2]),
        mg.tensor(np.array([1, 0])),
        (slice(None, None, -1), np.array([0, 0, 2])),
    ],
    ids=str,
)
def test_indexing_as_in_numpy(index):
    t = leaf(np.arange(6.0).reshape(2, 3))
    plain = index.data if isinstance(index, mg.Tensor) else index
    found = t[index]
    np.testing.assert_array_equal(found.data, t.data[plain])
    weights = np.arange(1.0, 1 + found.size).reshape(found.shape)
    (found * weights).sum().backward()
    expected = np.zeros((2, 3))
    np.add.at(expected, plain, weights)
    np.testing.assert_array_equal(t.grad, expected)


@pytest.mark.parametrize("index", [0, slice(1), np.array([True, False]), [0, 1], ...])
def test_elements_are_not_assigned(index):
    x = leaf([1.0, 2.0])
    with pytest.raises(TypeError, match=r"elements of a Tensor cannot be assigned: mg\.where"):
        x[index] = 0.0
    with pytest.raises(TypeError, match=r"elements of a Tensor cannot be assigned"):
        x[index] += 1.0
    assert x.data.tolist() == [1, 2]


def test_an_index_outside_says_so():
    with pytest.raises(IndexError, match=r"getitem: .*out of bounds"):
        leaf([1.0, 2.0])[5]


# backward


def test_backward_accumulates():
    x = leaf(3.0)
    y = x * x
    y.backward()
    y.backward()
    assert x.grad.item() == 12
    (2 * x).backward()
    assert x.grad.item() == 14


def test_two_losses_on_one_trunk():
    x = leaf([1.0, 2.0])
    h = np.exp(x)
    (h * 2).sum().backward()
    (h * h).sum().backward()
    np.testing.assert_allclose(x.grad, 2 * np.exp(x.data) + 2 * np.exp(2 * x.data))
    y = h.sum()
    x.zero_grad()
    y.backward()
    np.testing.assert_allclose(x.grad, np.exp(x.data))


def test_a_value_used_again_after_backward():
    x = leaf(2.0)
    h = x * x
    h.backward()
    (h * h).backward()
    assert x.grad.item() == 4 + 32


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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "f",
    [
        lambda a, b: (a + b).sum(),
        lambda a, b: a.sum() + b.sum(),
        lambda a, b: (a.reshape(3, 2).T * 1).sum() + b.sum(),
        lambda a, b: mg.broadcast_to(a + b, (4, 2, 3)).sum(),
        lambda a, b: (a.astype("float64") @ np.ones(3)).sum() + b.sum(),
    ],
)
def test_gradients_of_leaves_are_owned_writable_and_of_their_dtype(f, dtype):
    a, b = leaf(np.ones((2, 3)), dtype=dtype), leaf(np.ones((2, 3)), dtype=dtype)
    f(a, b).backward()
    for t in (a, b):
        assert t.grad.dtype == dtype
        assert t.grad.shape == t.shape
        t.grad += 1  # neither read-only nor shared with the other
    assert not np.shares_memory(a.grad, b.grad)
    once = a.grad.copy()
    b.grad *= 0
    np.testing.assert_array_equal(a.grad, once)


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


# no_grad


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


def test_one_no_grad_serves_several_threads():
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


def test_no_grad_holds_in_its_own_thread_only():
    x, inside, go = leaf(2.0), threading.Event(), threading.Event()
    found = []

    def quiet():
        with mg.no_grad():
            inside.set()
            go.wait(5)
            found.append((x * x).requires_grad)

    thread = threading.Thread(target=quiet)
    thread.start()
    assert inside.wait(5)
    assert (x * x).requires_grad
    go.set()
    thread.join()
    assert found == [False]


# Writes in place


def changed():
    return pytest.raises(mg.GraphError, match="changed in place")


def test_a_write_between_use_and_backward_is_noticed():
    w = leaf([1.0, 2.0])
    loss = (w * w).sum()
    w.data -= 0.1
    with changed():
        loss.backward()
    assert w.grad is None
    (w * w).sum().backward()
    np.testing.assert_allclose(w.grad, 2 * w.data)


def test_a_write_after_backward_is_no_harm():
    w = leaf([1.0, 2.0])
    for _ in range(3):
        w.zero_grad()
        (w * w).sum().backward()
        w.data -= 0.1 * w.grad
    np.testing.assert_allclose(w.data, 0.8**3 * np.array([1, 2]))


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


def test_a_write_to_a_constant_is_noticed():
    x, c = leaf([1.0, 2.0]), mg.tensor([3.0, 4.0])
    loss = (x * c).sum()
    c.data += 1
    with changed():
        loss.backward()
    assert x.grad is None


@pytest.mark.parametrize(
    "view",
    [
        lambda w: w.detach(),
        lambda w: w.detach().detach(),
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


def test_a_write_to_a_result_is_noticed_by_the_second_derivative():
    x = leaf(1.0)
    y = np.exp(x)
    (slope,) = mg.grad(y, x, create_graph=True)
    y.detach().data *= 0
    with changed():
        mg.grad(slope, x)


def test_writes_are_noticed_by_grad_and_trace_as_well():
    w = leaf([1.0, 2.0])
    loss = (w * w).sum()
    w.data -= 1
    for call in (lambda: mg.grad(loss, w), lambda: mg.grad(loss, w, create_graph=True), lambda: mg.trace(loss)):
        with changed():
            call()


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


# Memory


def test_a_graph_is_freed_without_the_collector():
    gc.disable()
    try:
        x = leaf([1.0, 2.0])
        h = np.tanh(x)
        loss = (h * h).sum()
        loss.backward(retain_grad=True)
        alive = [weakref.ref(t) for t in (x, h, loss)]
        del x, h, loss
        assert [ref() for ref in alive] == [None, None, None]
    finally:
        gc.enable()


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


def test_every_public_member_has_a_docstring():
    members = {name: getattr(mg.Tensor, name) for name in dir(mg.Tensor) if not name.startswith("_")}
    assert [name for name, member in members.items() if callable(member) and not (member.__doc__ or "").strip()] == []


def test_a_computed_tensor_cannot_be_cut_off_by_its_flag():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    with pytest.raises(mg.GraphError, match=r"requires_grad: .* \.detach\(\)"):
        y.requires_grad = False
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, [2, 4])


@pytest.mark.parametrize("nothing", [None, [None, 1.0], "text"])
def test_what_is_no_number_is_no_data(nothing):
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match="tensors hold float32"):
        x.data = nothing
    np.testing.assert_array_equal(x.data, [1, 2])
    if nothing is not None:
        with pytest.raises(TypeError, match="tensors hold float32"):
            x.grad = nothing
