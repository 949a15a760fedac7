"""Ops that are defined wrongly: the error says which op it is, what is wrong, and what is allowed."""

import math

import numpy as np
import pytest

import minigrad as mg

pytestmark = pytest.mark.usefixtures("kernels_run")

X = np.array([[0.5, -1.5, 2.0], [1.0, 3.0, -0.5]])


def leaf(x, **keywords):
    return mg.tensor(x, requires_grad=True, **keywords)


def fused_double(forward=lambda a: (2 * a, None), backward=None, definition=lambda a: 2 * a, formulas=None):
    return mg.fused("mine", forward, backward or (lambda g, y, saved, a: (2 * g,)), definition, formulas)


# The definition


@pytest.mark.parametrize(
    ("define", "error", "message"),
    [
        (
            lambda: mg.elementwise("cube", lambda x: x**3, lambda y, x: 3 * x**2, ["3x²"]),
            TypeError,
            "derivatives is a",
        ),
        (
            lambda: mg.elementwise("cube", lambda x: x**3, [1, 1], ["3x²"]),
            ValueError,
            "2 rules, but .* only x",
        ),
        (lambda: mg.elementwise("sine", np.sin, [1, 1], ["1", "1"]), ValueError, "sine: 2 rules, but .* only x"),
        (lambda: mg.elementwise("sum", np.add, [1, 1], ["1"]), ValueError, r"sum: formulas is a list of 2, .* \['1'\]"),
        (lambda: mg.primitive("same", np.copy, [lambda g, y, a: g], "g"), ValueError, "same: formulas is a list of 1,"),
        (lambda: mg.elementwise("f", np.sin, [np.cos], ["cos"], latex="x"), ValueError, "f: latex is a list of 1,"),
        (lambda: mg.elementwise("f", np.add, [1, 1], ["1", "1"], latex=["1"]), ValueError, "f: latex is a list of 2,"),
        (lambda: mg.primitive("m", lambda x: -x, lambda g, y, x: -g), TypeError, "m: vjps is a list with one rule per"),
        (
            lambda: mg.elementwise("m", np.sin, [lambda x: 1], ["1"]),
            TypeError,
            r"m: .* input 0 .* \(y, x\): too many pos",
        ),
        (lambda: mg.elementwise("m", np.sin, [lambda g, y, x: g], [""]), TypeError, r"\(y, x\): missing .* 'x'"),
        (
            lambda: mg.primitive("m", np.matmul, [None, lambda y, a, b: a], [""] * 2),
            TypeError,
            r"input 1 .* \(g, y, a, b\)",
        ),
        (
            lambda: mg.elementwise("m", lambda x, k: k * x, [lambda y, x: 1], ["k"]),
            TypeError,
            r"\(y, x, k\): got .* 'k'",
        ),
        (lambda: fused_double(formulas=["2", "3"]), ValueError, r"mine: formulas is a list of 1, .* \['2', '3'\]"),
        (lambda: fused_double(definition=lambda a=None: 2 * a), ValueError, "mine: 0 rules, but .* only a"),
    ],
)
def test_a_wrong_definition_is_refused_at_once(define, error, message):
    with pytest.raises(error, match=message):
        define()


# The forward


def test_a_forward_that_fails_on_arrays_of_its_own():
    padded = mg.elementwise("padded", lambda x: x + np.zeros(len(x) + 1), [1], ["1"])
    with pytest.raises(ValueError, match=r"padded: shape \(2,\): operands .* with shapes \(2,\) \(3,\)"):
        padded([1.0, 2.0])


def test_a_forward_returns_numbers():
    with pytest.raises(TypeError, match="mine: None is not an array; did the function that it comes from forget"):
        mg.elementwise("mine", lambda x: None, [1], ["1"])(mg.tensor([1.0, 2.0]))


def test_an_error_of_python_for_one_number_names_numpys_function_for_arrays():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match=r"^mine: shape \(2,\): .*; np.tanh takes an array, math.tanh does not$"):
        mg.elementwise("mine", lambda x: math.tanh(x), [1], ["1"])(x)
    with pytest.raises(
        ValueError, match=r"^mine: shape \(2,\): .*; np.where\(x > 0, …, …\) chooses element by element"
    ):
        mg.elementwise("mine", lambda x: x if x > 0 else 0 * x, [1], ["1"])(x)
    y = mg.elementwise("mine", np.abs, [lambda y, x: 1 if x > 0 else -1], ["±1"])(x)
    with pytest.raises(mg.GraphError, match=r"the rule for input 0 failed: .*; np.where\(x > 0, …, …\) chooses"):
        y.backward([1.0, 1.0])
    y = fused_double(backward=lambda g, y, saved, a: (g if g > 0 else 0 * g,))(x)
    with pytest.raises(mg.GraphError, match=r"its backward failed: .*; np.where\(x > 0, …, …\) chooses"):
        y.backward([1.0, 1.0])


def test_numpys_function_is_named_once_for_nested_ops():
    inner = mg.elementwise("inner", lambda x: x if x > 0 else 0 * x, [1], ["1"])
    outer = fused_double(forward=lambda a: (inner(a), None))
    with pytest.raises(ValueError, match=r"^mine: .*np\.where") as caught:
        outer(mg.tensor([1.0, 2.0]))
    assert str(caught.value).count("np.where") == 1


# The rules


@pytest.mark.parametrize(
    ("op", "inputs", "message"),
    [
        (
            mg.primitive("wrong", lambda x: x.sum(axis=0), [lambda g, y, x: g]),
            [X],
            r"wrong: the rule for input 0 returned shape \(3,\), where shape \(2, 3\) was expected",
        ),
        (
            mg.primitive("wrong", lambda a, b: a @ b, [lambda g, y, a, b: g @ b.T, lambda g, y, a, b: g]),
            [X, X.T],
            r"wrong: the rule for input 1 returned shape \(2, 2\), where shape \(3, 2\) was expected",
        ),
        (
            mg.elementwise("wrong", lambda x: 2 * x, [lambda y, x: np.ones((4, 2, 3))], ["?"]),
            [X],
            r"wrong: the rule for input 0 returned shape \(4, 2, 3\), where shape \(2, 3\) was expected",
        ),
        (
            mg.primitive("wrong", lambda *xs: xs[0] + xs[1], lambda i, g, y, *xs: g[i]),
            [X, X],
            r"wrong: the rule for input 0 returned shape \(3,\), where shape \(2, 3\) was expected",
        ),
        (
            mg.fused("wrong", lambda x: (2 * x, None), lambda g, y, saved, x: (g.T,), lambda x: 2 * x),
            [X],
            r"wrong: the rule for input 0 returned shape \(3, 2\), where shape \(2, 3\) was expected",
        ),
        (
            mg.primitive("wrong", lambda x: 2 * x, [lambda g, y, x: None]),
            [X],
            r"wrong: the rule for input 0 returned NoneType, where shape \(2, 3\) was expected",
        ),
        (
            mg.fused("wrong", lambda x: (2 * x, None), lambda g, y, saved, x: (None,), lambda x: 2 * x),
            [X],
            r"wrong: the rule for input 0 returned NoneType, where shape \(2, 3\) was expected",
        ),
    ],
)
def test_a_rule_that_returns_a_wrong_shape(op, inputs, message):
    xs = [leaf(x) for x in inputs]
    with pytest.raises(mg.GraphError, match=message):
        op(*xs).sum().backward()
    assert all(x.grad is None for x in xs)


def test_only_axes_that_the_op_broadcast_are_summed():
    """A vector's gradient of shape (1, 3) is not silently reshaped to (3,)."""
    op = mg.primitive("wrong", lambda x: x[None] * 2, [lambda g, y, x: 2 * g])
    with pytest.raises(mg.GraphError, match=r"returned shape \(1, 3\), where shape \(3,\) was expected"):
        op(leaf(np.ones(3))).sum().backward()


@pytest.mark.parametrize(
    ("derivative", "message"),
    [
        (lambda y, x: None, "mine: the rule for input 0 failed: unsupported operand"),
        (lambda y, x: np.ones(3), "mine: the rule for input 0 failed: operands could not be broadcast"),
        (lambda y, x: np.ones((4, 2)), r"mine: the rule for input 0 returned shape \(4, 2\), where shape \(2,\)"),
        (lambda y, x: x.slope, "mine: the rule for input 0 failed: .* has no attribute 'slope'"),
        (lambda y, x: x[2], "mine: the rule for input 0 failed: index 2 is out of bounds"),
        (lambda y, x: 1 / 0, "mine: the rule for input 0 failed: division by zero"),
    ],
)
def test_a_rule_that_fails_says_whose_it_is(derivative, message):
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = mg.elementwise("mine", np.sin, [derivative], ["?"])(x)
    with pytest.raises(mg.GraphError, match=message):
        y.backward([1.0, 1.0])
    assert x.grad is None


@pytest.mark.parametrize(
    ("backward", "message"),
    [
        (lambda g, y, saved, a: (), "mine: backward returned 0 gradients for 1 inputs"),
        (lambda g, y, saved, a: 2 * g, "mine: its backward failed: it returns a tuple .* per input, not ndarray"),
        (lambda g, y, saved, a: None, "mine: its backward failed: it returns a tuple .* per input, not NoneType"),
        (lambda g, y, a: (2 * g,), "mine: its backward failed: .* takes 3 positional arguments but 4 were given"),
        (lambda g, y, saved, a: (saved * g,), "mine: its backward failed: unsupported operand"),
        (lambda g, y, saved, a: (lambda: saved.mask * g,), "mine: its backward failed: .* has no attribute 'mask'"),
        (lambda g, y, saved, a: (1 / 0 * g,), "mine: its backward failed: division by zero"),
    ],
)
def test_a_backward_that_fails_says_whose_it_is(backward, message):
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(mg.GraphError, match=message):
        fused_double(backward=backward)(x).backward([1.0, 1.0])
    assert x.grad is None
