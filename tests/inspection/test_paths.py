"""Paths: counted, ranked and split by length, against enumeration by hand."""

import itertools
import math

import numpy as np
import pytest

import minigrad as mg
from layers import GRU, LSTM, BatchNorm, Dense, Residual, Sequential


def random_dag(seed, size=12):
    """A graph of at most 12 ops, some of which take the same value twice."""
    rng = np.random.default_rng(seed)
    x = mg.tensor(rng.normal(size=3), requires_grad=True, name="x")
    values = [x]
    for _ in range(int(rng.integers(2, size))):
        a, b = (values[max(0, len(values) - int(k))] for k in rng.integers(1, 4, size=2))
        op = rng.choice(["add", "multiply", "subtract", "tanh", "sigmoid"])
        values.append(getattr(mg, op)(a) if op in ("tanh", "sigmoid") else getattr(mg, op)(a, b))
    return mg.sum(values[-1] * 1.3)


def enumerated(trace, target):
    """(edges, contribution) of every path, by recursion."""

    def walk(node, g, edges):
        if node == target:
            yield edges, g
        for edge in node.outgoing:
            yield from walk(edge.input, edge.local.vjp(g), [*edges, edge])

    return list(walk(trace[-1], trace.seed, []))


def assert_split(parts, gradient, tolerance=1e-12):
    """The parts add up, relative to the larger of the gradient and a hundredth of the largest part."""
    scale = max(np.linalg.norm(gradient), 1e-2 * max(np.linalg.norm(part) for part in parts))
    assert np.linalg.norm(sum(parts) - gradient) <= tolerance * scale


@pytest.mark.parametrize("seed", range(40))
def test_equal_to_enumeration_on_random_graphs(seed):
    trace = mg.trace(random_dag(seed))
    for node in [node for node in trace.nodes if node.grad is not None]:
        every = enumerated(trace, node)
        assert trace.count_paths(to=node) == len(every)
        found = trace.paths(to=node, k=len(every))
        assert (found.exact, found.total, len(found)) == (True, len(every), len(every))
        assert {tuple(path.edges) for path in found} == {tuple(edges) for edges, _ in every}
        strongest = sorted((np.linalg.norm(g) for _, g in every), reverse=True)
        np.testing.assert_allclose([path.norm for path in found], strongest, rtol=1e-12)
        for count in (None, "activation", lambda edge: edge.output.op == "multiply"):
            if count == "activation" and not any(node.kind == "activation" for node in trace.nodes):
                continue
            counts = {None: lambda edge: True, "activation": lambda edge: edge.output.kind == "activation"}
            by_hand: dict = {}
            for edges, g in every:
                by_hand.setdefault(sum(map(counts.get(count, count), edges)), []).append(g)
            parts = trace.by_path_length(to=node, count=count)
            assert parts.counts == {length: len(gs) for length, gs in sorted(by_hand.items())}
            assert list(parts) == sorted(by_hand)
            for length, gs in by_hand.items():
                np.testing.assert_allclose(parts[length], sum(gs), rtol=1e-11, atol=1e-13)
            assert_split(list(parts.values()), node.grad)


def test_every_net_is_the_sum_of_its_lengths(net, tolerance):
    trace = mg.trace(net.loss)
    for leaf in (net.x, net.leaves[1], net.leaves[-1]):
        for count in (None, "weight"):
            parts = trace.by_path_length(to=leaf, count=count)
            assert_split(list(parts.values()), trace[leaf].grad, tolerance)
            assert sum(parts.counts.values()) == trace.count_paths(to=leaf)
            assert all(part.dtype == np.float64 for part in parts.values())


def residual_net(blocks, width=4, batch=3, seed=0):
    rng = np.random.default_rng(seed)
    net = Sequential(*[Residual(Dense(width, width, "tanh", rng=rng)) for _ in range(blocks)], Dense(width, 1, rng=rng))
    x = mg.tensor(rng.normal(size=(batch, width)), requires_grad=True, name="x")
    return mg.mse(net(x), np.zeros((batch, 1))), x


def test_residual_blocks_double_the_paths():
    y, x = residual_net(70)
    trace = mg.trace(y)
    assert trace.count_paths(to=x) == 2**70
    counts = trace.by_path_length(to=x, count="activation").counts
    assert counts == {k: math.comb(70, k) for k in range(71)}
    assert trace.count_paths(to=trace[-1]) == 1


def test_what_goes_round_all_blocks_arrives_as_it_left_the_last():
    y, x = residual_net(6)
    trace = mg.trace(y)
    parts = trace.by_path_length(to=x, count="activation")
    last = [node for node in trace.nodes if node.kind == "skip"][-1]
    np.testing.assert_allclose(parts[0], last.grad, rtol=1e-12)


def test_the_graph_is_opened_for_it():
    y, x = residual_net(5)
    closed, opened = mg.trace(y, expand=False), mg.trace(y)
    assert closed.by_path_length(to=x).counts == opened.by_path_length(to=x).counts
    assert closed.by_path_length(to="x").counts == closed.by_path_length(to=closed[x]).counts
    assert closed.count_paths(to=x) == 2**5


def test_a_branch_without_activation_is_absent():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    h = mg.tanh(x)
    trace = mg.trace(mg.sum(mg.tanh(h) * h))
    assert list(trace.by_path_length(to=x, count="activation")) == [1, 2]
    assert trace.by_path_length(to=x, count=lambda edge: False).counts == {0: 2}


def test_count_by_module():
    y, x = residual_net(3)
    trace = mg.trace(y)
    one = trace.by_path_length(to=x, count="layers.1.*").counts
    ops = sum(node.scope.startswith("layers.1.body") for node in trace.nodes if node.op in ("matmul", "add", "tanh"))
    assert one == {0: 4, ops: 4}
    single = trace.by_path_length(to=x, count="layers.1.body.0")
    assert trace.by_path_length(to=x, count="layers.1.body.0/*").counts == single.counts == {0: 4, ops: 4}


def test_a_trace_with_other_derivatives_is_split_into_its_own_parts():
    y, x = residual_net(4)
    changed = mg.trace(y).what_if({"kind:activation": 0.5})
    parts = changed.by_path_length(to=x, count="activation")
    assert_split(list(parts.values()), changed[x].grad)
    plain = mg.trace(y).what_if({"kind:activation": 1.0}).by_path_length(to=x, count="activation")
    for length, part in parts.items():
        np.testing.assert_allclose(part, plain[length] * 0.5**length, rtol=1e-12)


def test_more_paths_than_a_float_can_count():
    x = h = mg.tensor(1e-3, requires_grad=True)
    for _ in range(1100):
        h = h + 1e-3 * h
    parts = mg.trace(h).by_path_length(to=x, count="arithmetic")
    assert sum(parts.counts.values()) == 2**1100
    assert "1.4e+331 paths" in str(parts)


# Which


def test_a_path_is_a_product():
    rng = np.random.default_rng(0)
    x = mg.tensor(rng.normal(size=(3, 2)), requires_grad=True, name="x")
    w = mg.tensor(rng.normal(size=(2, 2)), requires_grad=True, name="W")
    trace = mg.trace(mg.sum(x + mg.tanh(x @ w)))
    around, through = sorted(trace.paths(to=x), key=lambda path: len(path.edges))
    np.testing.assert_array_equal(around.contribution, np.ones((3, 2)))
    np.testing.assert_allclose(through.contribution, (1 - np.tanh(x.data @ w.data) ** 2) @ w.data.T)
    assert str(through) == "Wᵀ · diag(tanh'(z1)) · sum"
    assert str(around) == "sum"
    assert [edge.input for edge in through.edges][-1] == trace[x]
    assert through.edges[0].output == trace[-1]


def test_paths_through_a_gru_are_written_as_its_equations():
    layer = GRU(2, 3, rng=0)
    trace = mg.trace(mg.sum(layer(np.ones((4, 1, 2)))))
    symbols = {str(path) for path in trace.paths(to=layer.layers[0].w_input)}
    assert "xᵀ · ∂a_n[0]/∂z1 · diag(tanh'(s2)) · diag(subtract) · sum" in symbols


def test_the_softmax_of_a_loss_is_no_activation_of_the_net():
    model = Sequential(*(Dense(4, 4, activation, rng=0) for activation in ["tanh", "tanh", "tanh", None]))
    x = mg.tensor(np.eye(4), requires_grad=True)
    parts = mg.trace(mg.cross_entropy(model(x), [0, 1, 2, 3])).by_path_length(to=x, count="activation")
    assert list(parts) == [3]


def scalar_blocks(blocks, seed=0):
    """x ↦ x + a·x, over and over: 2^blocks paths, each with the product of some of the a."""
    a = np.random.default_rng(seed).uniform(0.1, 0.9, size=blocks)
    x = h = mg.tensor(1.0, requires_grad=True, name="x")
    for factor in a:
        h = h + float(factor) * h
    return h, x, a


@pytest.mark.parametrize("blocks", [3, 13, 14, 60])
def test_the_strongest_paths(blocks):
    y, x, a = scalar_blocks(blocks)
    found = mg.trace(y).paths(to=x, k=8)
    assert found.exact == (2**blocks <= 10_000)
    assert found.total == 2**blocks
    largest = np.sort(a)[-8:]  # the eight strongest paths use only the eight largest factors
    products = [math.prod(some) for n in range(9) for some in itertools.combinations(largest, n)]
    np.testing.assert_allclose([path.norm for path in found], sorted(products)[::-1][:8], rtol=1e-12)
    assert ("all compared" in str(found)) == found.exact
    assert ("beam search" in str(found)) != found.exact


def test_a_table_of_paths():
    y, x, a = scalar_blocks(2)
    lines = str(mg.trace(y).paths(to=x, k=3)).split("\n")
    assert lines[0] == "the strongest 3 of 4 paths (all compared)"
    assert lines[2].split() == ["1", "1.00e+00", f"{100 / (1 + a).prod():.1f}%", "1"]
    shares = [float(line.split()[2].rstrip("%")) for line in lines[2:5]]
    assert lines[5] == f"together {100 * (1 - a.prod() / (1 + a).prod()):.1f}% of ∂L/∂x"
    assert abs(sum(shares) - float(lines[5].split()[1].rstrip("%"))) < 0.2


def test_long_paths_that_part_in_the_middle_are_told_apart():
    model, x = Sequential(LSTM(2, 3, rng=0), Dense(3, 2, rng=1)), np.random.default_rng(1).normal(size=(4, 8, 2))
    found = mg.trace(mg.cross_entropy(model(x), [0, 1, 1, 0])).paths(to="c[0]", k=4)
    printed = [line.split(maxsplit=3)[3] for line in str(found).split("\n")[2:6]]
    assert len(set(printed)) == 4
    assert printed[0].startswith("diag(f[1]) · diag(f[2]) · ")


# What it prints


def test_a_table_of_lengths():
    y, x = residual_net(4)
    parts = mg.trace(y).by_path_length(to=x, count="activation")
    head, names, *rows, check = str(parts).split("\n")
    assert head == "∂L/∂x by path length, counting edges of kind activation: 16 paths"
    assert names.split() == ["length", "paths", "‖part‖", "share", "of", "∂L/∂x"]
    assert [row.split()[:2] for row in rows] == [[str(k), str(math.comb(4, k))] for k in range(5)]
    for row, part in zip(rows, parts.values(), strict=True):
        assert row.split()[2] == f"{np.linalg.norm(part):.2e}"
    shares = [float(row.split()[3].rstrip("%").replace("−", "-")) for row in rows]
    assert abs(sum(shares) - 100) < 0.3
    assert max(row.count("█") for row in rows) == 20
    assert check.startswith("Σ parts = ∂L/∂x to ")
    assert check.endswith("✓")


def test_a_long_table_is_folded():
    y, x = residual_net(50)
    parts = mg.trace(y).by_path_length(to=x, count="activation")
    rows = str(parts).split("\n")[2:-1]
    assert len(rows) <= 12
    ends = [tuple(map(int, (row.split()[0].split("–") * 2)[:2])) for row in rows]
    assert ends[0][0] == 0
    assert ends[-1][1] == 50
    assert [a for a, _ in ends[1:]] == [b + 1 for _, b in ends[:-1]]
    assert f"50 alone: {np.linalg.norm(parts[50]):.2e}, 1 path" in rows[-1]
    alone = [a for a, b in ends if a == b]
    assert int(np.argmax([np.linalg.norm(part) for part in parts.values()])) in alone


def test_a_folded_row_holds_little_of_the_gradient():
    """Also where the lengths that matter lie apart, as in an LSTM."""
    model = Sequential(LSTM(2, 4, rng=0), Dense(4, 1, rng=1))
    trace = mg.trace(mg.sum(model(np.random.default_rng(2).normal(size=(3, 20, 2)))))
    parts = trace.by_path_length(to="c[0]")
    rows = [row.split()[0].split("–") for row in str(parts).split("\n")[2:-1]]
    norms = {n: np.linalg.norm(part) for n, part in parts.items()}
    for ends in rows:
        inside = [norm for n, norm in norms.items() if int(ends[0]) <= n <= int(ends[-1])]
        assert sum(inside) - max(inside) <= sum(norms.values()) / 10


def test_parts_that_cancel_but_for_rounding_have_no_shares():
    """The gradient of a bias before BatchNorm is only rounding error: shares of it would be ±5e+16 %."""
    model = Sequential(Dense(3, 4, rng=0), BatchNorm(4), Dense(4, 1, rng=1))
    trace = mg.trace(mg.sum(mg.tanh(model(np.random.default_rng(0).normal(size=(5, 3))))))
    bias = model[0].bias
    assert 0 < trace[bias].norm < 1e-12 < 1e-3 < trace["z1"].norm
    text = str(trace.by_path_length(to=bias))
    assert text.endswith("✓")
    for line in [*text.split("\n")[2:4], *str(trace.paths(to=bias)).split("\n")[2:4]]:
        assert "—" in line
        assert "%" not in line


def test_parts_that_cancel_say_so():
    x = mg.tensor([1.0, 0.5], requires_grad=True, name="x")
    text = str(mg.trace(mg.sum(2.0 * x - mg.tanh(x))).by_path_length(to=x, count="activation"))
    assert text.count("(cancels)") == 1
    assert "−" in text


def test_a_gradient_of_zero_has_no_shares():
    x = mg.tensor([-1.0, -2.0], requires_grad=True, name="x")
    text = str(mg.trace(mg.sum(mg.relu(x))).by_path_length(to=x))
    assert "nan" not in text
    assert text.endswith("∂L/∂x is exactly 0: there is nothing to compare")
    assert "—" in str(mg.trace(mg.sum(mg.relu(x))).paths(to=x))


# An LSTM's cell: the constant error carousel


def through_w_hidden(edge):
    return edge.output.op == "matmul" and edge.input.name.startswith("h[")


def test_the_pure_cell_path_is_the_product_of_the_forget_gates():
    norms = []
    for forget_bias in (0.0, 1.0, 3.0):
        rng = np.random.default_rng(1)
        steps, hidden = 40, 16
        h = LSTM(4, hidden, forget_bias=forget_bias, rng=rng)(rng.normal(size=(8, steps, 4)))
        trace = mg.trace(mg.mean(mg.square(h)))
        parts = trace.by_path_length(to="c[0]", count=through_w_hidden)
        pure = trace[f"c[{steps - 1}]"].grad
        for t in range(steps - 1):
            (kept,) = [edge for edge in trace.edges(into=f"c[{t}]") if edge.output.op == "multiply"]
            pure = pure * kept.local.diagonal  # the forget gate
        np.testing.assert_allclose(parts[0], pure, rtol=1e-9)
        assert parts.counts[0] == 1
        assert np.linalg.norm(pure) < 0.5 * trace["c[0]"].norm  # most of it comes by other paths
        norms.append(np.linalg.norm(pure))
    assert norms[0] < 1e-10
    assert norms[1] / norms[0] > 1e3
    assert norms[2] / norms[1] > 1e3


# Refusals


def test_what_has_no_gradient_or_no_name():
    x = mg.tensor([1.0], name="x")
    w = mg.tensor([2.0], requires_grad=True, name="w")
    trace = mg.trace(mg.sum(x * w))
    for ask in (trace.count_paths, trace.paths, trace.by_path_length, trace.by_time):
        with pytest.raises(ValueError, match="x has no gradient: make it with requires_grad=True"):
            ask(x)
        with pytest.raises(KeyError, match="nothing in this trace is called 'v'"):
            ask("v")
    with pytest.raises(ValueError, match="k must be at least 1, not 0"):
        trace.paths(to=w, k=0)


def test_an_unknown_count_names_what_there_is():
    y, x = residual_net(2)
    with pytest.raises(KeyError, match="'activations' is no kind and no module in this trace; did you mean activation"):
        mg.trace(y).by_path_length(to=x, count="activations")
    with pytest.raises(TypeError, match="count is a kind, a pattern of modules or a function of edges, not 3"):
        mg.trace(y).by_path_length(to=x, count=3)


def test_nothing_is_changed_or_kept():
    y, x = residual_net(3)
    y.backward()
    before = x.grad.copy()
    trace = mg.trace(y)
    edges = [edge.contribution.copy() for edge in trace.edges()]
    with mg.detect_anomaly():
        trace.by_path_length(to=x)
        trace.paths(to=x)
        trace.count_paths(to=x)
    np.testing.assert_array_equal(x.grad, before)
    for edge, contribution in zip(trace.edges(), edges, strict=True):
        np.testing.assert_array_equal(edge.contribution, contribution)


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
@pytest.mark.parametrize("doublings", [0, 12])
def test_paths_that_are_not_a_number_come_before_the_strongest_of_the_others(doublings):
    x = mg.tensor(0.0, requires_grad=True, name="x")
    y = 3 * x + mg.sqrt(x) * 0.0 + 5 * x + 2 * x
    for _ in range(doublings):
        y = y + y
    norms = [path.norm for path in mg.trace(y).paths(to=x, k=2**doublings + 1)]
    assert np.isnan(norms[:-1]).all()
    assert norms[-1] == 5


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_parts_behind_a_relu_that_is_off_are_0_as_the_gradient_is():
    x = mg.tensor([-1.0, 4.0], requires_grad=True, name="x")
    trace = mg.trace(mg.sum(mg.sqrt(mg.relu(x))))  # an infinite gradient meets the ReLU that is off
    assert trace[x].grad.tolist() == [0, 0.25]
    assert [part.tolist() for part in trace.by_path_length(to=x).values()] == [[0, 0.25]]


def test_shares_of_what_cancels_but_for_rounding_are_printed_beside_a_part_of_0():
    x = mg.tensor(1.0, requires_grad=True, name="x")
    y = x * 0.0 + mg.exp(x * 1.0) - mg.exp(x * 1.0) * 1.0 * np.nextafter(1.0, 2)
    parts = mg.trace(y).by_path_length(to=x)
    assert [line.split()[3] for line in str(parts).split("\n")[2:-1]] == ["0.0%", "—", "—"]


@pytest.mark.parametrize(("branches", "steps"), [(1, 60), (2, 14)])
def test_paths_and_lengths_are_in_float64_where_a_float32_gradient_meets_plain_numbers(branches, steps):
    x = h = mg.tensor(0.5, dtype=np.float32, requires_grad=True)
    for _ in range(steps):
        h = mg.add(*[h * 1e-4] * 2) if branches == 2 else h * 1e-4  # 2¹⁴ paths are too many to compare all
    trace = mg.trace(h)
    (part,) = trace.by_path_length(to=x).values()
    np.testing.assert_allclose(part, (branches * 1e-4) ** steps, rtol=1e-12)
    np.testing.assert_allclose(trace.paths(to=x, k=1)[0].contribution, 1e-4**steps, rtol=1e-12)
