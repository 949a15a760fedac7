"""Every derivative rule of every op is made wrong in the ways people make them wrong; check_op must notice.

A mutant that passes either computes the same as the right rule or shows a hole in the check. The survivors are
listed with the reason why each is right after all.
"""

import copy

import numpy as np
import pytest

import minigrad as mg
import minigrad.op
from minigrad import check
from minigrad.fused import Fused
from minigrad.op import Elementwise
from minigrad.ops import linear, shaping

# A mutation: (rule, g, y, xs) ↦ contribution, where rule(g, y, xs) is the right one


def sign(rule, g, y, xs):
    return -rule(g, y, xs)


def factor_2(rule, g, y, xs):
    return rule(g, y, xs) * 2


def factor_missing(rule, g, y, xs):
    """The upstream gradient itself, in the shape of the input."""
    shape = rule(g, y, xs).shape
    if np.prod(shape) > g.size:
        return np.broadcast_to(g, shape)
    return g.reshape(shape) if np.prod(shape) == g.size else mg.arrays.sum_to(g, shape)


def upstream_written(rule, g, y, xs):
    contribution = rule(g, y, xs)
    if isinstance(g, np.ndarray):
        contribution = np.array(contribution)
        g *= 2
    return contribution


def at_output(rule, g, y, xs):
    return rule(g, y, [y])


def swapped(rule, g, y, xs):
    return rule(g, y, xs[::-1])


def untransposed(rule, g, y, xs):
    return rule(g, y, [x if x is None else x.T for x in xs])


def transposed(rule, g, y, xs):
    return rule(g, y, xs).T


def no_unbroadcast(rule, g, y, xs):
    with pytest.MonkeyPatch.context() as patch:
        for module in (minigrad.op, linear, shaping):
            patch.setattr(module, "sum_to", lambda g, shape: g)
        return rule(g, y, xs)


def mutations(op, inputs, i):
    """The mutations that can change the rule for input i; the rule of a view uses no values."""
    several = len(inputs) > 1
    yield from (sign, factor_2, factor_missing, upstream_written)
    if not several and op.kind != "view":
        yield at_output
    if several and op.kind != "view":
        yield swapped
    if several and op.kind == "linear" and inputs[i].ndim > 1:
        yield from (untransposed, transposed)
    if (several and isinstance(op, Elementwise)) or op.name in ("matmul", "einsum", "broadcast_to"):
        yield no_unbroadcast


def mutant(op, i, mutation):
    """The op with another rule for input i."""
    new = copy.copy(op)

    def contribution(node, j, g, y, xs):
        def rule(g, y, xs):
            return op.contribution(node, j, g, y, xs)

        return mutation(rule, g, y, xs) if j == i else rule(g, y, xs)

    def backward(g, y, saved, *xs, **params):
        def rule(g, y, xs):
            return op.backward(g, y, saved, *xs, **params)[i]

        products = list(op.backward(g, y, saved, *xs, **params))
        products[i] = mutation(rule, g, y, list(xs))
        return products

    if isinstance(op, Fused):
        new.backward = backward
    else:
        new.contribution = contribution
    return new


def rules(op, inputs):
    """The inputs that have a derivative."""
    for i, x in enumerate(inputs):
        if x is not None and x.dtype.kind == "f" and (isinstance(op, Fused) or callable(op.rules) or op.rules[i]):
            yield i


# Most mutants fail against finite differences, and second derivatives take most of the time
FIRST, LAST = "gradients against finite differences", "second derivative"
IN_TURN = sorted(check.PROPERTIES, key=lambda name: (name != FIRST, name == LAST))
NOT_MEANT = {"astype": "float32 and float64 kept"}  # it exists to change the dtype


def noticed(op, examples):
    """Whether check_op says of one of the examples that a property fails; right ops pass, as test_check.py shows."""
    for name in IN_TURN:
        if NOT_MEANT.get(op.name) == name:
            continue
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(check, "PROPERTIES", {name: check.PROPERTIES[name]})
            if any(not mg.check_op(op, *inputs, **params).ok for inputs, params in examples):
                return True
    return False


SURVIVORS = {
    "the rule is written from y and reads no x": """negative 0 at_output, sqrt 0 at_output, reciprocal 0 at_output,
        exp 0 at_output, tan 0 at_output, sigmoid 0 at_output, tanh 0 at_output, softmax 0 at_output,
        log_softmax 0 at_output""",
    "y is positive, or within ±1, exactly where x is": """relu 0 at_output, leaky_relu 0 at_output, elu 0 at_output,
        hard_tanh 0 at_output""",
    "the local derivative is 1: no factor is missing": """add 0 factor_missing, add 1 factor_missing,
        subtract 0 factor_missing, astype 0 factor_missing, reshape 0 factor_missing, ravel 0 factor_missing,
        expand_dims 0 factor_missing, squeeze 0 factor_missing, broadcast_to 0 factor_missing,
        batch_norm 2 factor_missing""",
    "a bias gets a sum over the batch: no input is read": "batch_norm 2 swapped, dense 2 swapped",
}


SURVIVORS_OF = [name.split() for names in SURVIVORS.values() for name in names.split(",")]  # op, input, mutation


def mutants(op, examples):
    """(input, name of the mutation) → a mutant of the op."""
    inputs = examples[0][0]
    return {
        (str(i), mutation.__name__): mutant(op, i, mutation)
        for i in rules(op, inputs)
        for mutation in mutations(op, inputs, i)
    }


@pytest.mark.slow
def test_wrong_rules_are_found(each_op, op_examples):
    examples = op_examples[each_op]
    survivors = [key for key, wrong in mutants(each_op, examples).items() if not noticed(wrong, examples)]
    assert sorted(survivors) == sorted((i, mutation) for name, i, mutation in SURVIVORS_OF if name == each_op.name)


def test_at_most_one_mutant_in_twenty_survives(op_examples):
    assert {name for name, *_ in SURVIVORS_OF} <= {op.name for op in op_examples}
    assert len(SURVIVORS_OF) <= 0.05 * sum(len(mutants(op, examples)) for op, examples in op_examples.items())
