"""How traces print: an edge is a sentence, a node a list, a trace a table, a chain a formula."""

import time
from types import SimpleNamespace

import numpy as np
import pytest

import minigrad as mg
from layers import LSTM, Dense, LayerNorm, Residual, Sequential
from minigrad.inspection import text


def test_an_edge_is_one_sentence(neuron):
    _, _, trace = neuron
    assert [str(edge) for edge in trace.edges()] == [
        "tanh'(z1) = 0.07065 × upstream 1 = 0.07065, added to z1",
        "x = 2 × upstream 0.07065 = 0.1413, added to w",
        "w = −1 × upstream 0.07065 = −0.07065, added to x",
    ]


def test_a_product_with_a_matrix_of_one_number_shows_it():
    w = mg.tensor([[-0.5]], requires_grad=True, name="w")
    x = mg.tensor([[3.0]], requires_grad=True, name="x")
    assert [str(edge) for edge in mg.trace(mg.sum(x @ w)).edges()] == [
        "sum (g to every summand) × upstream 1 = 1, added to z1",
        "wᵀ = −0.5 × upstream 1 = −0.5, added to x",
        "xᵀ = 3 × upstream 1 = 3, added to w",
    ]


def test_a_formula_that_an_op_declares_in_latex_stands_below_its_factor():
    cube = mg.elementwise("cube", lambda x: x**3, [lambda y, x: 3 * x**2], ["3x²"], latex=["3x^2"])
    double = mg.primitive("double", lambda x: 2 * x, [lambda g, y, x: 2 * g], ["2 g"], latex=[r"2 \, g"])
    x = mg.tensor([1.0, 2.0], requires_grad=True, name="x")
    trace = mg.trace(mg.sum(cube(double(x))))
    product = r"\frac{\partial L}{\partial x} = \underset{2 \, g}{\operatorname{double}} \, "
    diagonal = r"\operatorname{diag}(\operatorname{cube}'(\operatorname{double}))"
    found = trace.chain(to=x).latex()
    assert found == rf"{product}\underset{{3x^2}}{{{diagonal}}} \, \operatorname{{sum}}"
    pytest.importorskip("matplotlib.mathtext").MathTextParser("path").parse(f"${found}$")
    assert trace.what_if({"cube": 1.0}).chain(to=x).latex() == rf"{product}{diagonal} \, \operatorname{{sum}}"


def test_an_op_without_formulas_prints_its_name():
    double = mg.primitive("double", lambda x: 2 * x, [lambda g, y, x: 2 * g])
    x = mg.tensor([1.0, 2.0], requires_grad=True, name="x")
    assert str(mg.trace(double(x).sum()).edges()[1]) == "double × upstream [2, ‖·‖ 1.41] = [2, ‖·‖ 2.83], added to x"


def test_a_node_lists_its_contributions():
    x = mg.tensor(3.0, requires_grad=True, name="x")
    lines = str(mg.trace(x * x)[x]).split("\n")
    assert lines[0] == "x: parameter, 1, value 3"
    assert lines[1].startswith("  from ")
    assert len(lines) == 4
    assert lines[-1].endswith("= 6")


def test_a_trace_prints_a_table(trace):
    lines = str(trace).split("\n")
    assert len(lines) == 1 + len(trace.nodes)
    assert lines[0].split() == ["node", "op", "scope", "kind", "shape", "‖value‖", "‖grad‖"]
    assert repr(trace) == f"<Trace of L: {len(trace.nodes)} nodes, {len(trace.edges())} products>"


def test_a_prompt_shows_a_summary_as_it_is_printed(trace):
    assert repr(trace.summary()) == str(trace.summary())


def test_a_notebook_shows_tables_as_they_are_printed(trace, x):
    tables = (trace.chain(to=x), trace.ledger(), trace.by_path_length(to=x), trace.paths(to=x), trace.by_time(x))
    for table in (*tables, trace.audit()):
        assert table._repr_mimebundle_() == {"text/plain": str(table)}
        if isinstance(table, (list, dict)):
            shown: list[str] = []
            table._repr_pretty_(SimpleNamespace(text=shown.append), cycle=False)
            assert shown == [str(table)]


def test_a_long_trace_is_folded():
    w = x = mg.tensor(0.1, requires_grad=True, name="w")
    for _ in range(500):
        x = mg.sin(x) * w
    trace = mg.trace(x)
    assert len(str(trace).split("\n")) == 61
    assert "nodes folded" in str(trace)
    assert len(trace.summary().split("\n")) == 1 + len(trace.nodes)
    assert len(str(trace[w]).split("\n")) < 25
    assert "contributions folded" in str(trace[w])


def test_everything_prints_shortly_and_soon_for_two_million_parameters():
    model = Sequential(Dense(784, 1200, "relu", rng=0), Dense(1200, 900, "relu", rng=1), Dense(900, 10, rng=2))
    assert sum(p.size for p in model.parameters()) > 2_000_000
    x = mg.tensor(np.random.default_rng(0).normal(size=(64, 784)))
    trace = mg.trace(mg.cross_entropy(model(x), np.zeros(64, int)))
    start = time.process_time()
    things = [
        trace,
        *trace.nodes,
        *trace.edges(),
        *(edge.local for edge in trace.edges() if edge.local.kind != "linear"),
    ]
    for thing in things:
        assert len(repr(thing)) < 300
        assert len(str(thing)) < 3000
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        ("diag(∂power/∂h2)", r"\operatorname{diag}(\frac{\partial \operatorname{power}}{\partial h_{2}})"),
        ("∂h[5]/∂[h, c][4] · σ", r"\frac{\partial h_{5}}{\partial [h, c]_{4}} \, \sigma "),
        ("my_w · log_softmax", r"\operatorname{my\_w} \, \operatorname{log\_softmax}"),
        ("(I + γ1 · LeakyReLU'(z2))", r"(I + \gamma _{1} \, \operatorname{LeakyReLU}'(z_{2}))"),
        (
            "diag(1.5e−20) · θ₁₂ᵀ · 1e+10",
            r"\operatorname{diag}(1.5 \cdot 10^{-20}) \, \theta _{12}^{\top} \, 1 \cdot 10^{10}",
        ),
        (
            "z1:2ᵀ · h[3]:2 · γ:2 · tanh'(add:3)",
            r"z_{1:2}^{\top} \, h_{3:2} \, \gamma _{:2} \, \operatorname{tanh}'(\operatorname{add}_{:3})",
        ),
        ("log1p'(Δ) · log2'(5%)", r"\operatorname{log1p}'(\Delta ) \, \operatorname{log}_{2}'(5\%)"),
    ],
)
def test_latex_keeps_brackets_where_they_were(symbols, expected):
    assert text.latex(symbols) == expected


@pytest.mark.parametrize("model", [Residual(Dense(3, 3, "leaky_relu")), LayerNorm(3), LSTM(3, 3)], ids=repr)
def test_the_latex_of_a_chain_can_be_set(model):
    mathtext = pytest.importorskip("matplotlib.mathtext")
    x = mg.tensor(np.ones((2, 4, 3)) * [1.0, 2.0, 4.0], requires_grad=True, name="my_x")
    found = mg.trace(mg.sum(model(x) ** 2.0)).chain(to=x).latex()
    assert found.startswith(r"\frac{\partial L}{\partial \operatorname{my\_x}} = ")
    for left, right in ["{}", "()"]:
        depth = np.cumsum([(c == left) - (c == right) for c in found])
        assert depth.min() >= 0
        assert depth[-1] == 0
    mathtext.MathTextParser("path").parse(f"${found}$")
