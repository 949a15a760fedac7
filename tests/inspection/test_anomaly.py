"""Where a NaN or an infinity comes from."""

import gc
import inspect
import threading
import timeit
import weakref

import numpy as np
import pytest

import minigrad as mg
from layers import GRU, Dense, Module, Sequential
from minigrad.settings import watches

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


class Bad(Module):
    """log(relu(x)): infinite wherever a unit is off."""

    def forward(self, x):
        return mg.log(mg.relu(x))


def net():
    return Sequential(Dense(3, 4, "tanh", rng=0), Bad(), Dense(4, 2, rng=1))


X = np.random.default_rng(0).normal(size=(5, 3))


# find_nan


def test_the_first_value_that_is_not_finite():
    model = net()
    found = mg.trace(mg.sum(model(X))).find_nan()
    assert found
    assert (found.op, found.scope, found.formula) == ("log", "layers.1", "1/x")
    assert found.node.op == "log"
    assert "infinite" in found.statistics["y"]
    assert found.statistics["x"].startswith("5×4, from 0 to ")
    assert str(found).startswith("log in layers.1 (1/x): the first value that is not finite; y: 5×4, from −")
    assert repr(found) == f"<{found}>"


def test_a_nan_in_the_data():
    x = mg.tensor([1.0, np.nan], name="x")
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    found = mg.trace(mg.sum(x * w)).find_nan()
    assert found.node.name == "x"
    assert str(found) == "x: the first value that is not finite; y: 2, from 1 to 1, 1 NaN"


def test_a_nan_in_a_plain_array_is_seen_at_the_op_that_met_it():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    found = mg.trace(mg.sum(np.array([np.inf, np.nan]) * w)).find_nan()
    assert found.op == "multiply"
    assert found.statistics["a"] == "2, 1 NaN, 1 infinite"


def test_within_a_fused_op():
    w = mg.tensor(np.eye(2), requires_grad=True)
    loss = mg.sum(mg.dense(np.full((1, 2), 1e300), w * 1e300, None, activation="tanh"))
    assert mg.trace(loss).find_nan().op == "matmul"


def test_a_mask_is_no_fault():
    scores, seen = mg.tensor(X[:3], requires_grad=True), np.tri(3, dtype=bool)
    masks = [
        lambda: mg.softmax(np.where(seen, scores, -np.inf) / 2),
        lambda: mg.softmax(scores + np.where(seen, 0, -np.inf)),
        lambda: mg.log_softmax(np.where(seen, scores, -np.inf))[np.arange(3), np.arange(3)],
    ]
    for weights in masks:
        with mg.detect_anomaly():
            mg.sum(weights() * X[:3].T[:3]).backward()
        trace = mg.trace(mg.sum(weights()))
        found = trace.find_nan()
        assert not found
        assert "not everything is finite" not in str(trace.audit())
        assert str(found).endswith("products are finite, but for a mask")
    assert "not everything is finite" in str(mg.trace(mg.sum(np.log(scores * 0))).audit())
    with mg.detect_anomaly(), pytest.raises(mg.GraphError, match=r"log \(1/x\): its value is not finite"):
        np.log(mg.softmax(np.where(seen, scores, -np.inf)))
    masked = np.where(seen, scores, -np.inf)
    with mg.detect_anomaly(), pytest.raises(mg.GraphError, match=r"subtract .* NaN"):
        masked - masked


def test_a_formula_leaves_out_what_has_none():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    found = mg.trace(mg.sum(np.where([True, False], x, np.inf))).find_nan()
    assert str(found).startswith("where (1[condition]; 1[not condition]): the first value that is not finite")
    with mg.detect_anomaly(), pytest.raises(mg.GraphError, match=r"^where \(1\[condition\]; 1\[not condition\]\): its"):
        np.where([True, False], x, np.inf)


def test_a_contribution_that_is_not_finite():
    x = mg.tensor([4.0, 0.0], requires_grad=True, name="x")
    found = mg.trace(mg.sum(mg.sin(mg.sqrt(x)))).find_nan()
    assert found.op == "sqrt"
    assert found.statistics["contribution"] == "2, from −0.104 to −0.104, 1 infinite"
    assert "all values are finite, but not the contribution that it sends to x" in str(found)


def test_contributions_that_overflow_together():
    big = np.float32(2e38)
    x = mg.tensor([0.001], requires_grad=True, dtype=np.float32, name="x")
    found = mg.trace(mg.sum(x * big + x * big) * np.float32(1)).find_nan()
    assert found.node.name == "x"
    assert "add up to a gradient that is not" in str(found)
    h = mg.sin(x)
    found = mg.trace(mg.sum(h * big + h * big)).find_nan()
    assert found.op == "sin"
    assert "not the gradient that arrives at it" in str(found)


def test_where_everything_is_finite_nothing_is_found(kind, make_net):
    trace = mg.trace(make_net(kind, seed=1).loss)
    found = trace.find_nan()
    assert not found
    assert found.node is None
    assert str(found) == f"all {len(trace.nodes)} values and {len(trace.edges())} products are finite"


# detect_anomaly


def test_the_op_its_module_its_inputs_and_the_users_line():
    model = net()
    with mg.detect_anomaly(), pytest.raises(mg.GraphError) as error:
        mg.sum(model(X))  # here
    message = str(error.value)
    assert message.startswith("log in layers.1 (1/x): its value is not finite; y: 5×4, from −")
    assert "x: 5×4, from 0 to " in message
    assert f"{__file__}:" in message
    assert message.endswith("return mg.log(mg.relu(x))")  # the module is the user's own


def test_a_line_that_calls_layers_is_the_users():
    model = Sequential(Dense(3, 4, "relu", rng=0))
    model[0].weight.data[0, 0] = np.inf
    with mg.detect_anomaly(), pytest.raises(mg.GraphError, match=r"dense in layers\.0") as error:
        model(X)  # this line
    line = inspect.getsourcelines(test_a_line_that_calls_layers_is_the_users)[1] + 4
    assert str(error.value).endswith(f"called at {__file__}:{line}: model(X)  # this line")


def test_a_contribution_and_the_line_that_called_its_op():
    x = mg.tensor([4.0, 0.0], requires_grad=True)
    with mg.detect_anomaly():
        loss = mg.sum(mg.sqrt(x))  # far above
        with pytest.raises(mg.GraphError) as error:
            loss.backward()
    message = str(error.value)
    assert message.startswith("sqrt (1/(2√x)): the contribution that it sends to x is not finite; contribution: 2, ")
    assert "upstream: 2, from 1 to 1" in message
    assert message.endswith("loss = mg.sum(mg.sqrt(x))  # far above")
    assert x.grad is None


def test_numpys_functions_are_the_users_line():
    x = mg.tensor([0.0], requires_grad=True)
    with mg.detect_anomaly(), pytest.raises(mg.GraphError, match="# through numpy"):
        np.log(x)  # through numpy


@pytest.mark.parametrize("walk", [lambda y, x: mg.grad(y, x), lambda y, x: mg.trace(y), lambda y, x: y.backward()])
def test_every_backward_walk_is_watched(walk):
    x = mg.tensor(0.0, requires_grad=True)
    with mg.detect_anomaly(), pytest.raises(mg.GraphError, match="sqrt"):
        walk(mg.sqrt(x), x)


def test_second_derivatives_are_watched():
    x = mg.tensor(0.0, requires_grad=True)
    with mg.detect_anomaly():
        (slope,) = mg.grad(mg.power(x, 1.5), x, create_graph=True)
        with pytest.raises(mg.GraphError, match="power"):
            mg.grad(slope, x)


def test_a_forward_pass_outside_has_no_line():
    x = mg.tensor(0.0, requires_grad=True)
    y = mg.sqrt(x)
    with mg.detect_anomaly(), pytest.raises(mg.GraphError, match=r"called outside detect_anomaly\(\)"):
        y.backward()


def test_ops_of_fused_layers_and_constants_are_watched():
    with mg.detect_anomaly():
        with pytest.raises(mg.GraphError, match="log"):
            mg.log(np.array([0.0]))
        with pytest.raises(mg.GraphError, match="exp"), mg.no_grad():
            mg.exp(mg.tensor([1e9], requires_grad=True))
        with mg.kernels.use("definition"), pytest.raises(mg.GraphError, match="matmul"):
            mg.dense(np.array([[np.nan]]), mg.tensor([[1.0]], requires_grad=True), None)


def test_training_that_is_finite_is_not_disturbed(kind, make_net):
    quiet, watched = make_net(kind, seed=1), None
    quiet.loss.backward()
    with mg.detect_anomaly():
        watched = make_net(kind, seed=1)
        watched.loss.backward()
        assert mg.trace(watched.loss).audit().ok
    for a, b in zip(quiet.leaves, watched.leaves, strict=True):
        assert np.array_equal(a.grad, b.grad)


def test_an_audit_within_may_step_out_of_a_domain():
    x = mg.tensor([1e-7, 2.0], requires_grad=True)
    slow_log = mg.fused(
        "slow_log", lambda x: (np.log(x), None), lambda g, y, saved, x: (g / x,), lambda x: mg.log(x), ["g/x"]
    )
    with mg.detect_anomaly():
        assert mg.trace(mg.sum(slow_log(x)), expand=False).audit().ok


def test_the_block_ends_after_an_error_and_inside_another_block():
    x = mg.tensor(0.0, requires_grad=True)
    with pytest.raises(mg.GraphError), mg.detect_anomaly():
        mg.log(x)
    assert not watches
    assert mg.log(x).item() == -np.inf
    with mg.detect_anomaly():
        with mg.detect_anomaly():
            pass
        with pytest.raises(mg.GraphError):
            mg.log(x)
    assert not watches


def test_only_this_thread_is_watched():
    x, values = mg.tensor(0.0, requires_grad=True), []

    def elsewhere():
        y = mg.log(x)
        values.extend([y.item(), mg.grad(y, x)[0].item()])

    with mg.detect_anomaly():
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        with pytest.raises(mg.GraphError):
            mg.log(x)
    assert values == [-np.inf, np.inf]


def test_it_keeps_nothing_alive():
    with mg.detect_anomaly():
        (watch,) = watches.values()
        model = GRU(2, 3, rng=0)
        loss = mg.sum(model(np.ones((2, 4, 2))))
        assert len(watch.lines) > 10
        del loss
        assert not watch.lines


def test_it_costs_nothing_outside():
    x = mg.tensor(np.ones(4), requires_grad=True)
    looked = timeit.repeat("bool(watches)", globals={"watches": watches}, number=20_000, repeat=5)
    called = timeit.repeat(lambda: mg.tanh(x), number=20_000, repeat=5)
    assert min(looked) < 0.02 * min(called)


def of_a_value(x):
    mg.log(x * 0 - 1)


def of_a_contribution(x):
    mg.sqrt(x * 0).sum().backward()


@pytest.mark.parametrize("fault", [of_a_value, of_a_contribution])
def test_a_finding_holds_nothing_once_it_was_dealt_with(fault):
    """Otherwise a loop that skips such batches would keep their graphs until the garbage collector runs, if ever."""
    gc.collect()
    gc.disable()
    try:
        x = mg.tensor([1.0, 2.0], requires_grad=True)
        alive = weakref.ref(x)
        with np.errstate(all="ignore"), pytest.raises(mg.GraphError) as caught, mg.detect_anomaly():
            fault(x)
        del x, caught
        assert alive() is None
    finally:
        gc.enable()
