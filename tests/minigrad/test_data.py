"""Batches, splitting, one-hot labels, accuracy."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.data import accuracy, batches, one_hot, split

X, Y = np.arange(20.0).reshape(10, 2), np.arange(10)


@pytest.mark.parametrize(("size", "sizes"), [(1, [1] * 10), (4, [4, 4, 2]), (5, [5, 5]), (10, [10]), (99, [10])])
def test_each_example_comes_once_and_with_its_own_y(size, sizes):
    parts = batches(X, Y, size, rng=0)
    seen = list(parts)
    assert len(parts) == len(sizes)
    assert [len(x) for x, _ in seen] == [len(y) for _, y in seen] == sizes
    y = np.concatenate([y for _, y in seen])
    np.testing.assert_array_equal(np.sort(y), Y)
    np.testing.assert_array_equal(np.concatenate([x for x, _ in seen]), X[y])


def test_batches_are_shuffled_anew_each_time_and_repeat_with_the_seed():
    parts = batches(X, Y, 10, rng=3)
    (_, first), (_, second) = next(iter(parts)), next(iter(parts))
    assert not np.array_equal(first, Y)
    assert not np.array_equal(first, second)
    (_, again) = next(iter(batches(X, Y, 10, rng=np.random.default_rng(3))))
    np.testing.assert_array_equal(first, again)


def test_without_rng_the_global_generator_is_used():
    mg.seed(5)
    (_, first) = next(iter(batches(X, Y, 10)))
    mg.seed(5)
    (_, second) = next(iter(batches(X, Y, 10)))
    np.testing.assert_array_equal(first, second)


def test_batches_take_lists_and_tensors_and_copy():
    x, y = next(iter(batches(mg.tensor(X, requires_grad=True), Y.tolist(), 10)))
    assert type(x) is type(y) is np.ndarray
    assert not np.shares_memory(x, X)
    np.testing.assert_array_equal(x, X[y])


def test_no_examples_no_batches():
    empty = batches(np.zeros((0, 2)), np.zeros(0), 3)
    assert len(empty) == 0
    assert list(empty) == []


@pytest.mark.parametrize(("held_out", "count"), [(0.3, 3), (3, 3), (0.05 + 0.1, 2), (np.int64(9), 9)])
def test_split_holds_out_rows_with_their_labels(held_out, count):
    x_train, y_train, x_test, y_test = split(X, Y, held_out, rng=0)
    assert len(y_test) == count
    np.testing.assert_array_equal(np.sort([*y_train, *y_test]), Y)
    np.testing.assert_array_equal(x_train, X[y_train])
    np.testing.assert_array_equal(x_test, X[y_test])
    assert not np.array_equal([*y_train, *y_test], Y)
    np.testing.assert_array_equal(split(X, Y, held_out, rng=0)[3], y_test)


def test_one_hot_has_a_1_at_each_label():
    labels = np.array([[2, 0], [1, 1]], dtype=np.uint8)
    hot = one_hot(labels, 3)
    assert hot.shape == (2, 2, 3)
    np.testing.assert_array_equal(hot.argmax(-1), labels)
    np.testing.assert_array_equal(hot.sum(-1), 1)
    np.testing.assert_array_equal(np.unique(hot), [0, 1])
    mg.set_default_dtype("float32")
    assert one_hot([0], 2).dtype == np.float32
    assert one_hot(np.zeros(0, dtype=int), 4).shape == (0, 4)


def test_accuracy_is_the_share_of_right_answers():
    logits = np.array([[2.0, 1.0, 0.0], [0.0, 0.0, 5.0], [1.0, 3.0, 2.0], [0.0, 1.0, 0.0]])
    assert accuracy(logits, [0, 2, 1, 0]) == 0.75
    assert accuracy(mg.tensor(logits, requires_grad=True), mg.tensor(np.array([0, 2, 1, 1]))) == 1
    assert accuracy(logits.reshape(2, 2, 3), [[0, 0], [0, 0]]) == 0.25
    assert type(accuracy(logits, [1, 1, 2, 0])) is float


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: batches(X, Y[:9], 2),
            ValueError,
            r"batches: x \(10, 2\) and y \(9,\) must have first axes",
        ),
        (lambda: batches(1.0, 2.0, 2), ValueError, r"batches: x \(\) and y \(\) must have"),
        (lambda: batches(X, Y, 0), ValueError, "batches: size is a number of examples, 1 or more, not 0"),
        (lambda: batches(X, Y, 2.0), ValueError, "batches: size .* not 2.0"),
        (lambda: split(X, Y[:9], 2), ValueError, "must have first axes of the same length"),
        (lambda: split(X, Y, 0), ValueError, "split: held_out = 0 of 10 examples leaves none"),
        (lambda: split(X, Y, 10), ValueError, "split: held_out = 10 of 10 examples leaves none"),
        (lambda: split(X, Y, 0.01), ValueError, "split: held_out = 0.01 of 10"),
        (lambda: split(X, Y, 1.0), ValueError, "split: held_out = 1.0 of 10"),
        (lambda: split(X, Y, -0.2), ValueError, "split: held_out = -0.2 of 10"),
        (lambda: one_hot([0.0, 1.0], 2), TypeError, "one_hot: labels are integers, not float64"),
        (lambda: one_hot([0, 2], 2), ValueError, "one_hot: labels from 0 to 2 must lie in 0 … 1"),
        (lambda: one_hot([-1, 1], 2), ValueError, "one_hot: labels from -1 to 1"),
        (lambda: accuracy(X, Y[:9]), ValueError, r"accuracy: logits of shape \(10, 2\) .* labels of shape \(9,\)"),
        (lambda: accuracy(X, one_hot(Y, 10)), ValueError, "accuracy: logits"),
        (lambda: accuracy(Y, Y), ValueError, "do not match .*: logits have one axis more, that of the classes"),
        (lambda: accuracy(np.zeros((0, 3)), np.zeros(0, int)), ValueError, "accuracy: logits of shape"),
        (lambda: accuracy(1.0, 1), ValueError, "accuracy: logits of shape"),
        (lambda: accuracy(np.zeros((2, 0)), [0, 1]), ValueError, "accuracy: logits of shape"),
        (lambda: one_hot([0], 3.0), ValueError, "one_hot: classes is the number of classes, 1 or more, not 3.0"),
        (lambda: one_hot([], -1), ValueError, "one_hot: classes is the number of classes, 1 or more, not -1"),
    ],
)
def test_a_wrong_call_says_why(call, error, message):
    with pytest.raises(error, match=message):
        call()
