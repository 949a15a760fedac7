"""Kernels do no harm: without a cache, with a broken one, in many threads, after a fork, and without Numba."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.recurrent import gru_gates

ROOT = Path(__file__).parents[3]
SIGMOID = """
import numpy as np, minigrad as mg
from minigrad.kernels import activations
mg.kernels.use("numba")
assert abs(mg.kernels.sigmoid(np.zeros(3, np.float32))[0] - 0.5) < 1e-6
print("hits", sum(activations.sigmoid_values.stats.cache_hits.values()))
"""
TRAINING = """
import numpy as np, minigrad as mg, layers, optim

def trained(seed, steps=4):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(64, 6, 5)).astype(np.float32)
    labels = (x.sum(axis=(1, 2)) > 0).astype(int)
    recurrent = layers.LSTM(5, 16, rng=seed).astype("float32")
    body = layers.Sequential(
        layers.Dense(16, 32, "gelu", rng=seed), layers.BatchNorm(32), layers.Dense(32, 2, "tanh", rng=seed)
    ).astype("float32")
    parameters = [*recurrent.parameters(), *body.parameters()]
    optimizer = optim.Adam(parameters, lr=0.01)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = mg.cross_entropy(body(recurrent(x)), labels)
        loss.backward()
        optim.clip_by_global_norm(parameters, 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses
"""
WITHOUT_NUMBA = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("numba", "llvmlite"):
            raise ImportError(f"{name} is not here")

sys.meta_path.insert(0, Blocker())
"""


def run(code, folder=ROOT, fresh=None, timeout=300, **environment):
    """A new process in `folder`; `fresh` is an empty cache folder of its own."""
    variables = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", **environment}
    variables.pop("MINIGRAD_KERNELS", None)
    if fresh:
        variables["NUMBA_CACHE_DIR"] = str(fresh)
    command = [sys.executable, "-W", "error", "-c", code]
    result = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=timeout)
    assert result.returncode == 0, result.stderr
    return result


def said(errors):
    """The lines on stderr except the notice that kernels are being compiled."""
    return [line for line in errors.splitlines() if not line.startswith("minigrad: compiling kernels")]


@pytest.fixture
def installed(tmp_path):
    """A copy of minigrad that nobody can write a kernel cache into, not even root: a file is in its place."""
    pytest.importorskip("numba")
    shutil.copytree(ROOT / "minigrad", tmp_path / "minigrad", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "minigrad/kernels/__pycache__").write_text("in the way")
    return tmp_path


@pytest.mark.slow
def test_a_read_only_install_keeps_its_kernels_at_home(installed):
    home = {"XDG_CACHE_HOME": str(installed / "cache"), "HOME": str(installed)}
    first, second = (run(SIGMOID, installed, **home) for _ in range(2))
    assert (first.stdout, second.stdout) == ("hits 0\n", "hits 1\n")
    assert said(first.stderr) == said(second.stderr) == []


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_anywhere_is_no_error(installed):
    nowhere = str(installed / "minigrad/kernels/__pycache__/below a file")
    kept = "print(type(activations.sigmoid_values._cache).__name__)"
    result = run(SIGMOID + kept, installed, HOME=nowhere, XDG_CACHE_HOME=nowhere)
    assert result.stdout == "hits 0\nNullCache\n"
    assert said(result.stderr) == []


@pytest.mark.slow
@pytest.mark.parametrize(("part", "damage"), [("nbi", b""), ("nbi", b"not a pickle"), ("nbc", None)])
def test_a_damaged_cache_is_compiled_again(tmp_path, monkeypatch, capfd, part, damage):
    numba = pytest.importorskip("numba")
    from minigrad.kernels import activations, compiler

    def hits():
        """How often the cache has a kernel that looks new to this process."""
        kernel, y = compiler.compiled(activations.sigmoid_values.py_func), np.empty(3, np.float32)
        kernel(np.zeros(3, np.float32), y)
        assert y.tolist() == [0.5, 0.5, 0.5]
        return sum(kernel.stats.cache_hits.values())

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert [hits(), hits()] == [0, 1]
    files = list(tmp_path.rglob(f"*.{part}"))
    assert len(files) == 1
    for file in files:
        file.write_bytes(file.read_bytes()[:-100] if damage is None else damage)  # None: cut short
    assert [hits(), hits()] == [0, 1]
    out, errors = capfd.readouterr()
    assert out == ""
    assert said(errors) == []


COMPILING = """
import numpy as np, minigrad as mg
mg.kernels.use("numba")

def losses(seed):
    x, labels = np.random.default_rng(seed).normal(size=(64, 32)).astype(np.float32), np.arange(64) % 32
    return mg.cross_entropy(mg.dense(x, x[:32], None, "gelu"), labels, reduction="none").tolist()
"""
AT_ONCE = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
together = Barrier(8)

def task(seed):
    together.wait()
    return {computed}(seed)

with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(task, range(8)))
assert found == [{computed}(seed) for seed in range(8)]
"""


@pytest.mark.slow
def test_eight_threads_at_once_compile_which_is_announced_once_and_loading_is_silent(tmp_path):
    pytest.importorskip("numba")
    compiling = run(COMPILING + AT_ONCE.format(computed="losses"), fresh=tmp_path)
    assert compiling.stderr.count("minigrad: compiling kernels, each once on this machine") == 1
    assert len(compiling.stderr.splitlines()) == 1
    assert run(COMPILING + "losses(0)", fresh=tmp_path).stderr == ""


FORK = """
import os, signal, threading, time
mg.kernels.use("numba")
x = np.linspace(-3, 3, 1000, dtype=np.float32)
{before}
child = os.fork()
if child == 0:
    signal.alarm(120)
    twins = [getattr(mg.kernels, name) for name in {kernels}]
    os._exit(0 if all(np.allclose(twin(x), twin.line(x), atol=1e-5) for twin in twins) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize(
    ("before", "kernels"),
    [
        ("mg.kernels.sigmoid(x)", ["sigmoid", "softplus"]),
        (
            "mg.kernels.gelu.kernel; threading.Thread(target=mg.kernels.gelu, args=(x,)).start(); time.sleep(0.3)",
            ["tanh"],
        ),
    ],
    ids=["one used before and another one", "while a thread compiles"],
)
def test_a_forked_child_computes(tmp_path, before, kernels):
    pytest.importorskip("numba")
    code = "import numpy as np, minigrad as mg\n" + FORK.format(before=before, kernels=kernels)
    run(code, fresh=tmp_path, PYTHONWARNINGS="ignore::DeprecationWarning")  # about forking with threads


@pytest.mark.slow
@pytest.mark.parametrize("choice", ["auto", "numba"])
def test_everything_runs_where_numba_cannot_be_imported(choice):
    code = f"""
mg.kernels.use({choice!r})
losses = trained(0, steps=30)
assert losses[-1] < 0.8 * losses[0], losses
assert mg.kernels.tanh(np.ones(10_000))[0] == np.tanh(1.0)
assert "numba" not in sys.modules
"""
    result = run(WITHOUT_NUMBA + TRAINING + code)
    assert said(result.stderr) == []


@pytest.mark.slow
def test_every_choice_of_kernels_trains_to_the_same_losses_and_each_of_eight_threads_to_the_same_bits():
    code = """
found = {}
for choice in ("auto", "numba", "numpy", "definition"):
    with mg.kernels.use(choice):
        found[choice] = trained(3)
for losses in found.values():
    np.testing.assert_allclose(losses, found["definition"], rtol=1e-5)
mg.kernels.use("numba")
"""
    pytest.importorskip("numba")
    assert said(run(TRAINING + code + AT_ONCE.format(computed="trained")).stderr) == []


def integer_operands():
    rng = np.random.default_rng(0)

    def floats(*shape):
        return rng.normal(size=shape).astype(np.float32)

    def integers(*shape):
        return rng.integers(-2, 3, shape)

    return {
        "scale": (mg.batch_norm, [floats(40, 20), integers(20), floats(20)]),
        "shift": (mg.batch_norm, [floats(40, 20), floats(20), integers(20)]),
        "bias": (mg.dense, [floats(40, 20), floats(20, 30), integers(30)]),
        "state": (gru_gates, [floats(40, 60), floats(40, 60), integers(40, 20)]),
    }


@pytest.mark.parametrize("operand", integer_operands())
@pytest.mark.parametrize("choice", ["auto", "numba"])
def test_integers_beside_floats_are_left_to_numpy(operand, choice):
    """A kernel that took its dtype from the integers would cut off fractions."""
    op, arrays = integer_operands()[operand]
    found = []
    for way in (choice, "definition"):
        with mg.kernels.use(way):
            leaves = [mg.tensor(x, requires_grad=True) if x.dtype.kind == "f" else x for x in arrays]
            y = op(*leaves)
            y.backward(np.linspace(-1, 1, y.size).reshape(y.shape))
            found.append([y.data, *(x.grad for x in leaves if isinstance(x, mg.Tensor))])
    for got, expected in zip(*found, strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
