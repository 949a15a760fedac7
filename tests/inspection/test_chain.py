"""A chain: its factors, the parts of it that can be asked for, and what it says in decades."""

import numpy as np
import pytest

import minigrad as mg
from layers import GRU, LSTM, MSE, RNN, BatchNorm, Dense, LayerNorm, Residual, Sequential


def neurons(weight, depth=50):
    h = mg.tensor(1.0, requires_grad=True, name="x")
    for n in range(depth):
        h = h * mg.tensor(weight, requires_grad=True, name=f"w{n + 1}")
    return mg.trace(h)


def mlp(depth=3, batch=5, activation="sigmoid"):
    rng = np.random.default_rng(1)
    model = Sequential(*(Dense(4, 4, activation, rng=rng) for _ in range(depth)), Dense(4, 1, rng=rng))
    loss = MSE()(model(rng.normal(size=(batch, 4))), rng.normal(size=(batch, 1)))
    return mg.trace(loss), model


@pytest.mark.parametrize(("weight", "printed"), [(0.8, "1.43e-05"), (1.2, "9.10e+03")])
def test_fifty_single_neurons(weight, printed):
    chain = neurons(weight).chain(to="x")
    np.testing.assert_allclose(chain.gains, np.full(50, weight), rtol=1e-12)
    assert chain.running[-1] == pytest.approx(weight**50, rel=1e-12)
    rows = chain.text(show="all").split("\n")[2:52]
    assert [row.split()[1] for row in rows] == [f"w{n}" for n in range(50, 0, -1)]
    assert printed in rows[-1]
    assert "42 steps folded (chain.text(show='all'))\n" in str(chain)
    assert chain.ledger().total["weights"] == pytest.approx(50 * np.log10(weight), rel=1e-12)


def test_chains_of_all_samples_add_up_to_the_gradient():
    trace, model = mlp()
    weight = model[0].weight
    chains = [trace.chain(to=weight, sample=i) for i in range(5)]
    np.testing.assert_allclose(sum(chain.product for chain in chains), trace[weight].grad, rtol=1e-12, atol=1e-18)
    for chain in chains:
        assert np.prod(chain.gains) == pytest.approx(np.linalg.norm(chain.product), rel=1e-12)
    with pytest.raises(ValueError, match="no sample 5 in a batch of 5 rows"):
        trace.chain(to=weight, sample=5)
    with pytest.raises(ValueError, match=r"no sample 0\.5 in a batch of 5 rows"):
        trace.chain(to=weight, sample=0.5)


def test_the_derivative_for_one_sample_is_the_same_map_in_both_directions():
    x = mg.tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    mean = mg.trace(mg.mean(mg.square(x))).chain(to=x, sample=1).factors[0].local
    np.testing.assert_array_equal(mean.todense(), [[0, 0, 1 / 6, 1 / 6, 0, 0]])
    assert mean.jvp(np.ones((3, 2))) == mean.jvp(1.0) == mean.todense().sum()


def test_the_expected_gains_of_a_sample_are_its_own():
    """As in a chain of this sample alone."""
    model = Sequential(Dense(4, 3, "tanh", rng=0), LayerNorm(3), Dense(3, 3, "relu", rng=1), Dense(3, 1, rng=2))
    x = np.random.default_rng(3).normal(size=(5, 4))
    chains = [
        mg.trace(mg.sum(mg.square(model(rows)))).chain(to=model[0].weight, sample=k)
        for rows, k in ((x, 2), (x[[2]], 0))
    ]
    whole, alone = (
        [line.split()[-6:] for line in str(chain).split("\n")[2:-2] if " + " not in line] for chain in chains
    )
    assert len(whole) == 8  # but for the two sums of LayerNorm
    assert whole == alone
    assert str(chains[0]).startswith("sample 2: ∂L/∂W1 = xᵀ · ")
    assert [str(chain).split("\n")[-3].split()[3] for chain in chains] == ["4×1", "4×1"]  # of xᵀ


def test_behind_a_batch_norm_the_gradient_of_a_sample_is_one_of_all_rows():
    """No factor lengthens the gradient by more than its `max`."""
    model = Sequential(Dense(3, 4, rng=0), BatchNorm(4), Dense(4, 1, "tanh", rng=1))
    trace = mg.trace(mg.sum(model(np.random.default_rng(1).normal(size=(5, 3)))))
    for sample in range(5):
        row = str(trace.chain(to="W1", sample=sample)).split("\n")[-3].split()
        actual, _, largest = map(float, row[4:7])
        assert row[1] == "xᵀ"
        assert actual <= largest


def test_rows_of_a_weight_are_no_samples():
    w = mg.tensor(np.random.default_rng(0).normal(size=(3, 4)), requires_grad=True)
    trace = mg.trace(mg.sum(np.random.default_rng(1).normal(size=(5, 3)) @ mg.tanh(w)))
    rows = [str(trace.chain(to=w, sample=sample)).split("\n")[-3].split() for sample in (None, 0, 4)]
    assert [row[1] for row in rows] == ["diag(tanh'(w))"] * 3
    assert rows[0][5:7] == rows[1][5:7] == rows[2][5:7]  # the columns expected and max


def test_single_numbers_have_no_samples():
    x = mg.tensor(2.0, requires_grad=True, name="x")
    with pytest.raises(ValueError, match="no batch of samples: L is computed from single numbers"):
        mg.trace(mg.tanh(x)).chain(to=x, sample=0)


@pytest.mark.parametrize("norm", [BatchNorm, LayerNorm])
def test_the_gain_of_a_norm_is_called_a_scale(norm):
    model = Sequential(Dense(2, 3, rng=0), norm(3))
    chain = mg.trace(mg.sum(mg.square(model(np.eye(2))))).chain(to=model[0].weight)
    assert [factor.formula for factor in chain.factors if factor.symbol == "diag(γ1)"] == ["scale"]


def test_a_sample_is_the_net_run_on_it_alone():
    rng = np.random.default_rng(2)
    x, target = rng.normal(size=(3, 4)), rng.normal(size=(3, 2))
    w = mg.tensor(rng.normal(size=(4, 2)), requires_grad=True)
    whole = mg.trace(mg.mse(mg.tanh(x @ w), target, reduction="sum"))
    alone = mg.trace(mg.mse(mg.tanh(x[1:2] @ w), target[1:2], reduction="sum"))
    np.testing.assert_allclose(whole.chain(to=w, sample=1).product, alone[w].grad, rtol=1e-12)


@pytest.mark.parametrize("single", [mg.sum, lambda y: y], ids=["number", "array"])
def test_a_number_in_the_middle_belongs_to_all_samples(single):
    """x/max(x): the gradient through the maximum goes to the largest element, whichever sample it comes from."""
    x = mg.tensor([1.0, 4.0, 2.0], requires_grad=True)
    y = single(mg.tanh(x / mg.max(x)))
    trace = mg.trace(y, np.ones(y.shape))
    chains = [trace.chain(to=x, sample=k).product for k in range(3)]
    np.testing.assert_allclose(sum(chains), trace[x].grad, rtol=1e-12)
    assert np.flatnonzero(chains[0]).tolist() == [0, 1]


def test_samples_are_of_one_batch():
    w = mg.tensor(np.ones((4, 2)), requires_grad=True)
    trace = mg.trace(mg.sum(mg.tanh(np.ones((3, 4)) @ w)) + mg.sum(w * w))
    with pytest.raises(ValueError, match="one batch without penalties; this one sums over 3 and 4 rows"):
        trace.chain(to=w, sample=0)


def test_chains_of_all_uses_add_up_to_the_gradient():
    layer = RNN(2, 3, rng=0)
    trace = mg.trace(mg.sum(layer(np.random.default_rng(1).normal(size=(4, 6, 2)))))
    weight = layer.named_parameters()[1][1]
    uses = len(trace.edges(into=weight))
    parts = [trace.chain(to=weight, use=i).product for i in range(uses)]
    np.testing.assert_allclose(sum(parts), trace[weight].grad, rtol=1e-12)
    with pytest.raises(ValueError, match=f"is used {uses} times, there is no use {uses}"):
        trace.chain(to=weight, use=uses)
    with pytest.raises(ValueError, match="give either path= or use="):
        trace.chain(to=weight, use=0, path=next(iter(trace.paths(to=weight))))


def test_a_chain_along_each_path_is_that_path():
    x = mg.tensor([0.3, -0.4], requires_grad=True, name="x")
    trace = mg.trace(mg.sum(x + mg.tanh(x) * mg.exp(x)))
    paths = trace.paths(to=x)
    assert len(paths) == 3
    for path in paths:
        np.testing.assert_allclose(trace.chain(to=x, path=path.edges).product, path.contribution, rtol=1e-14)
        np.testing.assert_array_equal(trace.chain(to=x, path=path).product, trace.chain(to=x, path=path.edges).product)


def test_a_path_leads_to_the_target():
    trace, model = mlp()
    path = trace.paths(to=model[0].weight)[0]
    for wrong in (path.edges[1:], path.edges[:-1], trace.paths(to=model[1].weight)[0], []):
        with pytest.raises(ValueError, match="chain: path must lead, edge after edge, from L to W1"):
            trace.chain(to=model[0].weight, path=wrong)


def test_a_path_of_one_sample():
    trace, model = mlp()
    path = trace.paths(to=model[0].weight)[0]
    parts = [trace.chain(to=model[0].weight, path=path, sample=i).product for i in range(5)]
    np.testing.assert_allclose(sum(parts), path.contribution, rtol=1e-12)


def test_an_element_of_the_target():
    x = mg.tensor([2.0, 3.0], requires_grad=True, name="x")
    trace = mg.trace(mg.sum(x * x))
    assert trace.chain(to=x, element=1).in_numbers() == trace.chain(to=x, element=(1,)).in_numbers()
    assert trace.chain(to=x, element=1).in_numbers().endswith("= 6")
    assert trace.chain(to=x, element=True).in_numbers() == trace.chain(to=x, element=1).in_numbers()
    for element in [2, -1, 1.0, "a", (0, 0), ()]:
        with pytest.raises(ValueError, match=r"chain: x of shape \(2,\) has no element \("):
            trace.chain(to=x, element=element)


def test_branches_share_the_gradient():
    rng = np.random.default_rng(3)
    model = Sequential(Dense(4, 4, rng=rng), Residual(Dense(4, 4, "tanh", rng=rng), Dense(4, 4, rng=rng)))
    chain = mg.trace(mg.sum(mg.square(model(rng.normal(size=(5, 4)))))).chain(to=model[0].weight)
    (block,) = [factor for factor in chain.factors if factor.branches]
    assert block.local is None
    assert block.symbol == "(I + W2ᵀ · diag(tanh'(z2)) · W3ᵀ)"
    assert sum(branch.share for branch in block.branches) == pytest.approx(1, rel=1e-12)
    through = [branch.edges[-1].contribution for branch in block.branches]
    whole = sum(through)
    expected = [np.vdot(part, whole) / np.vdot(whole, whole) for part in through]
    np.testing.assert_allclose([branch.share for branch in block.branches], expected, rtol=1e-12)


def test_a_step_of_an_lstm_is_one_factor():
    layer = LSTM(2, 3, rng=0)
    trace = mg.trace(mg.sum(mg.square(layer(np.random.default_rng(1).normal(size=(4, 7, 2))))))
    for target in ("h[0]", "c[0]"):
        chain = trace.chain(to=target)
        np.testing.assert_allclose(chain.product, trace[target].grad, rtol=1e-12)
        assert np.prod(chain.gains) == pytest.approx(trace[target].norm, rel=1e-12)
    steps = [factor for factor in trace.chain(to="h[0]").factors if factor.name.startswith("[h, c]")]
    assert [step.name for step in steps] == [f"[h, c][{t}]" for t in range(5, 0, -1)]
    for step in steps:
        assert sum(branch.share for branch in step.branches) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("below", [RNN, GRU, LSTM])
def test_a_step_of_an_lstm_is_one_factor_whatever_layer_is_below(below):
    """Below, states are called h[t], too: above an RNN the state [h, c] is that of h[3]:2 and c[3]."""
    model = Sequential(below(2, 3, return_sequence=True, rng=0), LSTM(3, 3, rng=1))
    trace = mg.trace(mg.sum(mg.square(model(np.random.default_rng(1).normal(size=(4, 7, 2))))))
    chain = trace.chain(to="layers.1/h[0]")
    names = [factor.name for factor in chain.factors if factor.name.startswith("[h, c]")]
    assert names == [f"[h, c][{t}]:2" for t in range(5, 0, -1)]
    np.testing.assert_allclose(chain.product, trace["layers.1/h[0]"].grad, rtol=1e-12)


@pytest.mark.parametrize("target", ["f[3]", "i[2]", "g[0]", "z_o[3]", "tanh_c[2]"])
def test_a_chain_to_a_gate_has_the_whole_gradient_of_the_cell(target):
    """All that reaches f, i and g comes through c, so [h, c] of their step is no cut: half of it would be left out."""
    layer = LSTM(2, 3, rng=0)
    trace = mg.trace(mg.sum(mg.square(layer(np.random.default_rng(1).normal(size=(4, 7, 2))))))
    chain = trace.chain(to=target)
    single = [factor for factor in chain.factors if len(factor.lower) == 1]
    for factor in single:
        np.testing.assert_allclose(factor.gradient, factor.lower[0].grad, rtol=1e-12)
        shares = [branch.share for branch in factor.branches]
        assert not shares or sum(shares) == pytest.approx(1, rel=1e-12)
        assert shares or factor.gain <= factor.local.max_gain * (1 + 1e-12)
    names = [factor.name for factor in chain.factors]
    assert ("c[3]" in names) == (target == "f[3]")
    steps = [f"[h, c][{t}]" for t in range(5, int(target[-2]), -1)]
    assert [name for name in names if name.startswith("[h, c]")] == steps


def test_branches_that_branch_again_are_told_apart():
    """A symbol names the branch's own factors, then the part in which it branches again."""
    layer = LSTM(2, 3, rng=0)
    trace = mg.trace(mg.sum(layer(np.random.default_rng(1).normal(size=(4, 4, 2)))))
    (whole,) = [factor for factor in trace.chain(to=layer.layers[0].w_hidden).factors if factor.branches]
    steps = [f"{before} · ∂h[3]/∂z[{t}]" for t, before in ((3, "h[2]ᵀ"), (2, "h[1]ᵀ"), (1, "h[0]ᵀ"), (0, "h[−1]ᵀ"))]
    assert [branch.symbol for branch in whole.branches] == steps


def test_ops_of_one_name_are_told_apart():
    x = mg.tensor(2.0, requires_grad=True, name="x")
    y = x**2
    assert mg.trace(y / 2 + 10 / y).chain(to=x).symbols == ["∂power/∂x", "(∂divide:2/∂power + ∂divide/∂power)"]
    y.name = "y"
    assert mg.trace(y / 2).chain(to=x).symbols == ["∂y/∂x", "∂divide/∂y"]


def test_rms_is_free_of_the_width():
    trace, model = mlp()
    chain = trace.chain(to=model[0].weight, norm="rms")
    assert chain.running[-1] == pytest.approx(trace[model[0].weight].norm / 4, rel=1e-12)  # 16 elements
    with pytest.raises(ValueError, match="norm is 'l2' or 'rms', not 'max'"):
        trace.chain(to=model[0].weight, norm="max")


def test_rms_is_printed_in_one_unit():
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(6, 2)), mg.tensor(rng.normal(size=(2, 50)), requires_grad=True, name="w")
    g = rng.normal(size=(6, 50))
    chain = mg.trace(mg.tanh(x @ w), gradient=g).chain(to=w, norm="rms")
    head, *rows = (line.split() for line in str(chain).split("\n")[1:4])
    assert head[-4:-2] == ["RMS", "g"]
    slopes = 1 - np.tanh(x @ w.data) ** 2
    sizes = [np.sqrt(np.mean(part**2)) for part in (g, g * slopes, x.T @ (g * slopes))]
    widening = np.sqrt((6 * 50) / (2 * 50))  # xᵀ turns 6·50 numbers into 2·50
    expected = [np.sqrt(np.mean(slopes**2)), widening * np.sqrt(np.sum(x**2) / 6)]
    largest = [np.max(slopes), widening * np.linalg.norm(x, 2)]
    numbers = [[float(cell) for cell in row[-6:-2]] for row in rows]
    np.testing.assert_allclose([row[0] for row in numbers], np.divide(sizes[1:], sizes[:-1]), atol=1e-3)
    np.testing.assert_allclose([row[1:3] for row in numbers], np.transpose([expected, largest]), atol=1e-3)
    np.testing.assert_allclose([row[3] for row in numbers], sizes[1:], rtol=1e-2)


@pytest.mark.parametrize("activations", [[None] * 4, ["tanh"] * 3 + [None], ["tanh", None, "relu", None]])
@pytest.mark.parametrize("to", ["x", "W1", "b1"])
def test_a_ledger_has_a_row_for_every_layer(activations, to):
    """Also where no activation separates them; a row of a layer without one holds the gain of its weight."""
    model = Sequential(*(Dense(3, 3, activation, rng=i) for i, activation in enumerate(activations)))
    x = mg.tensor(np.random.default_rng(0).normal(size=(4, 3)), requires_grad=True, name="x")
    ledger = mg.trace(mg.mean(model(x))).chain(to=to).ledger()
    assert [name for name, _ in ledger.rows] == ["z4", "z3", "z2", "z1"]
    assert [[node.name for node in place] for place in ledger.places] == [["z4"], ["z3"], ["z2"], ["z1"]]
    if not any(activations):
        norms = [node.norm for (node,) in ledger.places]
        found = [row["weights"] for _, row in ledger.rows[:3]]
        np.testing.assert_allclose(found, np.diff(np.log10(norms)))


def test_a_ledger_adds_up():
    trace, model = mlp(depth=4)
    chain = trace.chain(to=model[0].weight)
    ledger = chain.ledger()
    assert ledger.total["activation type"] == pytest.approx(4 * np.log10(0.25), rel=1e-9)
    assert ledger.total["total"] == pytest.approx(chain.decades[-1], rel=1e-12)
    assert sum(sum(row.values()) for _, row in ledger.rows) == pytest.approx(chain.decades[-1], rel=1e-12)


@pytest.mark.parametrize(
    ("forward", "derivative"),
    [
        (lambda x: x**3, lambda y, x: 3 * x * x),
        (lambda x: np.exp(-x * x), lambda y, x: -2 * x * y),
        (lambda x: x * (np.abs(x) > 0.5), lambda y, x: np.abs(x) > 0.5),
    ],
)
def test_an_activation_that_is_flat_at_0_is_all_operating_point(forward, derivative):
    """Slopes around 0 say nothing about its type: −23 decades for x³, −∞ if it is constant there (total NaN)."""
    flat = mg.elementwise("flat", forward, [derivative], ["φ'"], kind="activation")
    x = mg.tensor([0.7, -1.2, 0.9], requires_grad=True, name="x")
    chain = mg.trace(mg.sum(flat(flat(x)))).chain(to=x)
    total = chain.ledger().total
    assert total["activation type"] == 0
    assert total["total"] == pytest.approx(chain.decades[-1], abs=1e-12)


def test_a_dead_net_has_no_decades_that_are_not_numbers():
    x = mg.tensor([[-1.0, -2.0]], requires_grad=True, name="x")
    chain = mg.trace(mg.sum(mg.relu(mg.tanh(x)))).chain(to=x)
    assert chain.running[-1] == 0
    assert "nan" not in str(chain)
    assert "the gradient is exactly 0" in str(chain)


def test_of_a_seed_of_zeros_nothing_is_left_that_is_a_number():
    x = mg.tensor([0.5, 1.0], requires_grad=True, name="x")
    lines = str(mg.trace(mg.tanh(x), np.zeros(2)).chain(to=x)).split("\n")
    assert lines[2].split()[-3:] == ["0.00e+00", "—", "—"]
    assert "nan" not in "\n".join(lines)


def test_the_chain_of_an_empty_batch():
    w = mg.tensor(np.ones((4, 2)), requires_grad=True)
    text = str(mg.trace(mg.sum(mg.tanh(np.ones((0, 4)) @ w))).chain(to=w))
    assert text.startswith("∂L/∂W1 = xᵀ · tanh'(z1) · sum\n")
    assert text.endswith("the gradient is exactly 0 from step 0 on: there is nothing to compare")


def test_what_is_not_finite_is_not_called_a_mismatch():
    x = mg.tensor([0.0, 0.0], requires_grad=True)
    with np.errstate(all="ignore"):
        trace = mg.trace(mg.sqrt(mg.sum(x * x)))  # its gradient at 0 is 0·∞
        assert str(trace.chain(to=x)).endswith("is not finite from step 0 on: there is nothing to compare")
        assert str(trace.by_path_length(to=x)).endswith("is not finite: there is nothing to compare")


def test_what_has_no_gradient_has_no_chain():
    x = mg.tensor([1.0, 2.0], name="x")
    trace = mg.trace(mg.sum(x * mg.tensor([3.0, 4.0], requires_grad=True)))
    with pytest.raises(ValueError, match="x has no gradient: make it with requires_grad=True"):
        trace.chain(to="x")


@pytest.mark.parametrize("number", [2, 2.0, np.array(2.0)])
def test_a_number_in_a_chain(number):
    x = mg.tensor(3.0, requires_grad=True, name="x")
    chain = mg.trace(number * x).chain(to=x)
    assert str(chain).startswith("∂L/∂x = 2\n")
    assert chain.product == 2


def test_a_declared_minus_one_is_written_as_it_is_on_paper():
    a = mg.tensor([1.0, 2.0], requires_grad=True, name="a")
    trace = mg.trace((-mg.tanh(a)).sum())
    chain = trace.chain(to=a)
    assert str(chain).startswith("∂L/∂a = diag(tanh'(a)) · (−I) · sum\n")
    assert chain.latex().endswith(r"\, (-I) \, \operatorname{sum}")
    assert str(trace.edges()[1]).startswith("−I [rms 1] × upstream")
    changed = trace.what_if({"negative": 0.5}).chain(to=a)
    assert str(changed).startswith("∂L/∂a = diag(tanh'(a)) · diag(negative'(tanh)) · sum\n")


def test_a_broadcast_minus_one_sums():
    a = mg.tensor([1.0, 2.0], requires_grad=True, name="a")
    centred = a - mg.tensor(0.5, requires_grad=True, name="b")
    assert str(mg.trace((centred * centred).sum()).chain(to="b")).startswith("∂L/∂b = (−Σ) · ")


@pytest.mark.parametrize(("factor", "gain"), [(1.00001, 1.00001), (mg.tensor([3.0, 4.0], name="I"), 5 / 2**0.5)])
def test_a_factor_that_only_looks_like_one_is_kept(factor, gain):
    """Left out of a product are the factors that are 1, not those that print as 1 or have the name I."""
    x = mg.tensor([1.0, 2.0], requires_grad=True, name="x")
    trace = mg.trace((x * factor).sum())
    chain = trace.chain(to=x)
    assert np.allclose(chain.gains, [2**0.5, gain], rtol=1e-12)
    assert len(trace.paths(to=x)[0].symbols) == 2


def test_a_sample_of_what_if():
    trace, model = mlp()
    changed = trace.what_if({"kind:activation": 1.0})
    parts = [changed.chain(to=model[0].weight, sample=i).product for i in range(5)]
    np.testing.assert_allclose(sum(parts), changed[model[0].weight].grad, rtol=1e-12)


def test_factors_and_branches_show_themselves():
    x = mg.tensor(0.0, requires_grad=True, name="x")
    chain = mg.trace(2 * (x + mg.tanh(x))).chain(to=x)
    assert str(chain.factors) == "[<2, gain 2.000>, <(1 + tanh'(x)), gain 2.000>]"
    assert repr(chain.ledger()) == f"<{chain.ledger()}>"
    assert str(chain.factors[1].branches) == "[<1, share 50.0%>, <tanh'(x), share 50.0%>]"


def test_a_chain_without_factors():
    x = mg.tensor(2.0, requires_grad=True, name="x")
    chain = mg.trace(x).chain(to=x)
    assert str(chain).splitlines()[0] == "∂x/∂x = 1"
    assert str(chain.ledger()) == "ledger  total 0.00 decades"


def test_paths_of_units_that_cancel():
    x = mg.tensor([1.0, 2.0], requires_grad=True, name="x")
    w = np.array([[3.0, -3.0], [1.0, 1.0]])
    text = str(mg.trace(mg.sum(x @ w)).chain(to=x, element=0))
    assert "each time by the unit that brings most: ∂L/∂x[0] = 0" in text


def test_a_product_in_numbers_has_the_gradient_it_starts_with():
    x, b = (mg.tensor([1.0, 2.0], requires_grad=True, name=name) for name in "xb")
    trace = mg.trace(3.0 * x + b, [0.5, -2.0])
    assert trace.chain(to=x, element=1).in_numbers() == "units   ∂y/∂x[1] = 3 · gradient=−2 = −6"
    assert trace.chain(to=b, element=1).in_numbers() == "units   ∂y/∂b[1] = gradient=−2 = −2"


def test_a_cross_entropy_is_one_factor():
    x, labels = np.random.default_rng(0).normal(size=(6, 4)), np.arange(6) % 3
    w = mg.tensor(np.random.default_rng(1).normal(size=(4, 3)), requires_grad=True, name="W1")
    loss = mg.cross_entropy(x @ w, labels)
    trace = mg.trace(loss, backward=True)
    chain = trace.chain(to=w, element=(1, 2))
    assert chain.symbols == ["xᵀ", "∂L/∂y"]
    assert [factor.formula for factor in chain.factors] == ["(p − t)/B", "input"]
    p = mg.softmax(x @ w.data)
    np.testing.assert_allclose(chain.factors[0].gradient, (p - np.eye(3)[labels]) / 6, atol=1e-16)
    np.testing.assert_allclose(chain.product, w.grad, atol=1e-16)
    assert "· ∂L/∂y=" in str(chain).splitlines()[-1]
    assert chain.ledger().total["loss"] == pytest.approx(chain.decades[0])


def test_within_a_cross_entropy_a_chain_shows_its_steps():
    logits = mg.tensor([[1.0, 2.0], [0.5, 0.0]], requires_grad=True)
    trace = mg.trace(mg.cross_entropy(logits, [0, 1]))
    assert trace.chain(to="log_softmax").symbols == ["getitem", "(−I)", "mean"]
    written_out = mg.mean(-mg.log_softmax(logits)[[0, 1], [0, 1]])
    chain = mg.trace(written_out).chain(to=logits)
    assert [factor.kind for factor in chain.factors] == ["reduce", "arithmetic", "view", "loss"]
    assert chain.ledger().total["loss"] == pytest.approx(np.log10(chain.gains[-1]))


def test_a_loss_that_takes_its_input_apart_has_a_chain_to_each_piece():
    def distance(pair):
        return mg.sum(mg.square(pair[0] - pair[1]))

    def backward(g, y, saved, pair):
        return (2 * g * np.stack([pair[0] - pair[1], pair[1] - pair[0]]),)

    loss = mg.fused("distance", distance, backward, distance, ["±2(a − b)"], kind="loss")
    a, b = (mg.tensor([k, 2.0], requires_grad=True, name=name) for k, name in ((1.0, "a"), (3.0, "b")))
    both = mg.stack([a, b])
    chain = mg.trace(loss(both)).chain(to=b)
    np.testing.assert_array_equal(chain.product, [4, 0])
    assert [(factor.symbol, factor.formula) for factor in chain.factors] == [("∂L/∂b", "")]
    (factor,) = mg.trace(loss(both * 1.0)).chain(to="multiply").factors
    assert (factor.symbol, factor.formula) == ("∂L/∂multiply", "±2(a − b)")


def test_within_a_loss_that_branches_a_chain_shows_the_sum():
    def definition(x):
        h = mg.tanh(x)
        return mg.sum(h + mg.exp(h))

    def backward(g, y, saved, x):
        h = np.tanh(x)
        return (g * (1 + np.exp(h)) * (1 - h * h),)

    loss = mg.define.fused("loss", definition, backward, definition, ["φ'"], kind="loss")
    x = mg.tensor([1.0, 3.0], requires_grad=True, name="x")
    trace = mg.trace(loss(x))
    assert str(trace.chain(to=x)).startswith("∂L/∂x = ∂L/∂x\n")
    assert str(trace.chain(to="tanh")).startswith("∂L/∂tanh = (I + diag(exp'(tanh))) · sum\n")


def test_beside_a_penalty_a_cross_entropy_has_its_name():
    w = mg.tensor(np.eye(2), requires_grad=True, name="W1")
    loss = mg.cross_entropy(np.ones((3, 2)) @ w, [0, 1, 1]) + mg.sum(mg.tensor([1.0], requires_grad=True) * 2)
    assert mg.trace(loss).chain(to=w).symbols == ["xᵀ", "∂cross_entropy/∂y"]


def test_an_element_of_a_weight_that_an_empty_batch_has_met_is_refused():
    w = mg.tensor(np.ones((3, 2)), requires_grad=True, name="w")
    trace = mg.trace(mg.sum(mg.tanh(np.ones((0, 3)) @ w)))
    assert "the gradient is exactly 0 from step 0 on" in str(trace.chain(to=w))
    with pytest.raises(ValueError, match=r"chain: there is no unit on the way to \(0, 1\): z1 is empty"):
        trace.chain(to=w, element=(0, 1))


@pytest.mark.parametrize("size", [1e-2, 1e-12])
def test_a_unit_that_brings_half_of_a_tiny_gradient_is_not_said_to_bring_all(size):
    x = mg.tensor([[size]], requires_grad=True, name="x")
    trace = mg.trace(mg.sum(mg.tanh(x @ np.ones((1, 2))) * size))
    units = str(trace.chain(to=x, element=(0, 0))).split("\n")[-1]
    assert "each time by the unit that brings most: 50% of ∂L/∂x[0, 0]" in units


def test_the_unit_that_brings_most_is_found_though_float32_would_underflow():
    x = mg.tensor(np.ones(1, np.float32), requires_grad=True, name="x")
    y = x * np.array([1e-20, 3e-20], np.float32)
    trace = mg.trace(y, np.full(2, 1e-30, np.float32))
    assert "3.00e-20" in str(trace.chain(to=x, element=0)).split("\n")[-1]


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
@pytest.mark.parametrize(("scale", "what"), [(0.0, "exactly 0 from step 3"), (1.0, "exactly 0 from step 2")])
def test_a_gradient_that_was_not_finite_on_its_way_is_0_from_where_it_stays_so(scale, what):
    x = mg.tensor([-1.0, -2.0], requires_grad=True)
    root = mg.sqrt(mg.relu(x))  # the ReLU selects: 0·∞ is 0
    chain = mg.trace(mg.sum(root if scale else root * scale)).chain(to=x)
    assert str(chain).endswith(f"the gradient is {what} on: there is nothing to compare")


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_0_that_became_nan_is_not_finite_from_there_on():
    x = mg.tensor([2.0, 3.0], requires_grad=True)
    chain = mg.trace(mg.sum(x * np.array([np.inf, 1.0]) * 0.0)).chain(to=x)
    assert str(chain).endswith("the gradient is not finite from step 2 on: there is nothing to compare")


@pytest.mark.parametrize(
    ("dtype", "small", "what"),
    [
        (np.float32, 1e-30, "exactly 0 from step 2 on, where it underflows in float32"),
        (np.float64, 1e-200, "exactly 0 from step 2 on, where it underflows in float64"),
        (np.float32, 0.0, "exactly 0 from step 1 on"),
    ],
)
def test_a_gradient_that_underflows_is_told_from_one_that_is_cut_off(dtype, small, what):
    x = mg.tensor(np.ones(2, dtype), requires_grad=True)
    chain = mg.trace(mg.sum(x * dtype(small) * dtype(small))).chain(to=x)
    assert str(chain).endswith(f"the gradient is {what}: there is nothing to compare")


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_chain_over_a_weight_that_is_not_finite_prints(value):
    w = mg.tensor([[value, 1.0], [0.5, 2.0]], requires_grad=True, name="w")
    x = mg.tensor([[1.0, 2.0]], requires_grad=True, name="x")
    chain = mg.trace(mg.sum(mg.tanh(x @ w))).chain(to=x)
    assert np.isnan(chain.factors[-1].local.max_gain)
    assert "the gradient is not finite from step" in str(chain)


def test_a_chain_that_leaves_the_range_of_its_numbers_prints():
    x = mg.tensor([[1e-100]], requires_grad=True)
    h = mg.tanh(x)
    for _ in range(4):
        h = h @ mg.tensor([[1e90]], requires_grad=True)
    chain = mg.trace(h, [[1e-300]]).chain(to=x)
    assert chain.running[-1] == np.inf  # 10³⁶⁰
    assert chain.decades[-1] == pytest.approx(360)
    assert chain.ledger().total["total"] == pytest.approx(360)
    assert "total 360.00 decades   (×inf per layer)" in str(chain)


def test_a_gradient_of_0_has_no_rate_per_layer():
    _, model = mlp(activation="relu")
    model[1].bias.data -= 100  # all of its units are dead
    trace = mg.trace(mg.sum(model(np.ones((5, 4)))))
    assert str(trace.ledger(to=model[0].weight)).endswith("total — decades")


def test_only_activations_with_decades_of_their_own_count_as_layers():
    """Those of a softmax, which mixes units, are under "other"."""
    x, w = np.random.default_rng(1).normal(size=(3, 4)), mg.tensor(np.eye(4), requires_grad=True)
    z = x @ w
    assert str(mg.trace(mg.sum(mg.square(mg.softmax(z)))).ledger(to=w)).endswith(" decades")
    one, both = (mg.trace(mg.sum(mg.square(y))).ledger(to=w) for y in (mg.tanh(z), mg.tanh(mg.softmax(z))))
    assert one.layers == both.layers == 1


def test_a_chain_through_shortcuts_has_no_rate_per_layer():
    """Its sums hold layers that nobody counts: the decades of three blocks are not those of one activation."""
    x = h = mg.tensor([[0.3, -0.2]], requires_grad=True)
    w = mg.tensor(np.eye(2), requires_grad=True)
    h = mg.tanh(h @ w)
    plain = mg.trace(mg.sum(h)).chain(to=x).ledger()
    assert str(plain).endswith("per layer)")
    for _ in range(3):
        h = h + mg.tanh(h @ (2 * np.eye(2)))
    ledger = mg.trace(mg.sum(h)).chain(to=x).ledger()
    assert ledger.total["skip"] > 0.5
    assert str(ledger).endswith("decades")
