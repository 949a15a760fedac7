"""The graph and the walk back: order, accumulation, depth, memory."""

import gc
import itertools
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad.graph import Node, order, walk


def leaf(x, **keywords):
    return mg.tensor(x, requires_grad=True, **keywords)


def random_graph(seed, size=40):
    """A tangle of ops on two leaves; the leaves, all tensors, and a number computed from them."""
    rng = np.random.default_rng(seed)
    tensors = [leaf(rng.normal(size=(2, 3))), leaf(rng.normal(size=3))]
    for _ in range(size):
        a, b = (tensors[i] for i in rng.integers(len(tensors), size=2))
        tensors.append([a + b, a * b, a - np.tanh(b), np.sin(a), a * 0.5, b + 1.0][rng.integers(6)])
    return tensors[:2], tensors, sum(np.tanh(t).sum() for t in tensors[-5:])


@pytest.mark.parametrize("seed", range(5))
def test_every_node_comes_after_all_its_users(seed):
    _, _, loss = random_graph(seed)
    nodes = order(loss.node)
    assert nodes[0] is loss.node
    assert len(set(nodes)) == len(nodes)
    place = {node: i for i, node in enumerate(nodes)}
    for node in nodes:
        for x in node.inputs:
            if x is not None and x.node is not None:
                assert place[x.node] > place[node]
                assert x.node.seq < node.seq


@pytest.mark.parametrize("seed", range(5))
def test_gradients_of_a_tangle(seed):
    leaves, _, loss = random_graph(seed)
    loss.backward()
    assert mg.gradcheck(lambda a, b: replay(loss, leaves, [a, b]), *leaves)
    for x, again in zip(leaves, mg.grad(loss, leaves, create_graph=True), strict=True):
        np.testing.assert_allclose(x.grad, again.data, rtol=1e-12, atol=1e-14)


def replay(loss, leaves, values):
    """The computation that made `loss`, run again from other leaves."""
    found = dict(zip(leaves, values, strict=True))
    for node in reversed(order(loss.node)):
        xs = [a if x is None else found[x.node or x] for x, a in zip(node.inputs, node.arrays, strict=True)]
        found[node] = node.op(*xs, **node.params)
    return found[loss.node]


def test_order_stops_where_it_is_told_to():
    x = leaf(2.0)
    a = x * x
    b = a + 1
    c = b * a
    assert [node.op.name for node in order(c.node)] == ["multiply", "add", "multiply"]
    assert order(c.node, until=[b.node, a.node]) == [c.node]
    assert order(c.node, until=[b.node]) == [c.node, a.node]


def test_order_of_several_roots():
    x = leaf(2.0)
    a = x * x
    b, c = a + 1, a + 2
    assert order(b.node, c.node) == [c.node, b.node, a.node]
    assert order() == []


# Accumulation


def test_a_value_used_often():
    x = leaf([1.0, 2.0])
    y = sum(x * float(i) for i in range(1, 101))
    y.sum().backward()
    assert x.grad.tolist() == [5050, 5050]


def test_a_value_used_twice_by_one_op():
    x = leaf([1.0, 2.0])
    (x + x).sum().backward()
    (x * x).sum().backward()
    assert x.grad.tolist() == [4, 6]


def test_exponentially_many_paths_take_linear_time():
    x = leaf(1.0)
    h = x
    for _ in range(60):
        h = h + h
    h.backward()
    assert x.grad.item() == 2.0**60


def test_upstream_gradients_are_not_written_to():
    x = leaf([1.0, 2.0])
    a, b = x + 0.0, x + 0.0
    seed = np.array([1.0, 1.0])
    y = a + b
    gradients = walk(order(y.node), {y.node: seed}, keep={y.node, a.node, b.node})
    assert seed.tolist() == [1, 1]
    assert gradients[x].tolist() == [2, 2]
    assert gradients[y.node] is seed
    assert gradients[a.node].tolist() == gradients[b.node].tolist() == [1, 1]


def test_a_sum_is_written_into_only_where_the_walk_made_it():
    x = leaf([1.0, 2.0])
    parts = [x * 1.0 for _ in range(4)]
    handed = []

    def pull(node, g):
        found = node.op.pull(node, g, node.output, node.arrays)
        handed.extend((c, c.copy()) for c in found if c is not None)
        return found

    y = parts[0] + parts[1] + parts[2] + parts[3]
    gradients = walk(order(y.node), {y.node: np.ones(2)}, pull)
    assert gradients[x].tolist() == [4, 4]
    for contribution, before in handed:
        np.testing.assert_array_equal(contribution, before)


def test_walk_returns_leaves_and_what_it_is_told_to_keep():
    x = leaf(2.0)
    h = x * x
    y = h * 3
    start = np.asarray(1.0)
    assert set(walk(order(y.node), {y.node: start})) == {x}
    assert set(walk(order(y.node), {y.node: start}, keep={h.node})) == {x, h.node}


def test_what_gets_no_gradient_is_not_walked():
    """`where` passes no gradient to its condition, so no rule before the condition is called."""
    x = leaf([1.0, -1.0])
    asked = []
    spy = mg.primitive("spy", lambda x: x * 1, [lambda g, y, x: asked.append(1) or g])
    mg.where(spy(x), x, 0.0).sum().backward()
    assert asked == []
    assert x.grad.tolist() == [1, 1]


# Depth and memory


def chain(x, length):
    h = x
    for _ in range(length // 2):
        h = np.negative(h * 1.0)
    return h


@pytest.mark.parametrize("length", [50_000, pytest.param(300_000, marks=pytest.mark.slow)])
def test_depth_through_forward_backward_and_deletion(length):
    gc.disable()
    try:
        x = leaf(1.5)
        y = chain(x, length)
        assert len(order(y.node)) == length
        y.backward()
        assert x.grad == 1
        deep = weakref.ref(y)
        del y
        assert deep() is None
    finally:
        gc.enable()


def test_deep_second_derivatives():
    x = leaf(0.5)
    h = x
    for _ in range(2000):
        h = np.sin(h) + h * 1e-3
    (slope,) = mg.grad(h, x, create_graph=True)
    assert np.isfinite(mg.grad(slope, x)[0].item())


def test_a_node_does_not_hold_its_users():
    x = leaf([1.0, 2.0])
    h = x * 2
    y = h * 3
    user = weakref.ref(y)
    del y
    assert user() is None
    assert h.node.inputs == (x, None)


# Nodes


def test_a_node_prints_its_op_shape_scope_and_number():
    y = leaf(np.ones((2, 3))) * 2
    assert repr(y.node) == f"Node(multiply, shape (2, 3), scope '', seq {y.node.seq})"


def test_nodes_are_numbered_in_the_order_of_their_making():
    x = leaf(1.0)
    numbers = [(x * i).node.seq for i in range(5)]
    assert all(a < b for a, b in itertools.pairwise(numbers))


def test_a_node_has_no_other_attributes():
    assert not hasattr((leaf(1.0) * 2).node, "__dict__")
    assert set(Node.__slots__) >= {"op", "inputs", "arrays", "params", "output", "saved", "versions", "scope", "seq"}


def test_graph_errors_are_runtime_errors():
    assert issubclass(mg.GraphError, RuntimeError)
