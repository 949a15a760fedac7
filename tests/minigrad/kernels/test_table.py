"""What `mg.kernels.table()` and `python -m minigrad.kernels` print, and the examples that they run."""

import copy
import importlib
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
import optim  # noqa: F401 - it has kernels too
from minigrad.kernels import __main__ as command
from minigrad.kernels import listing, twins, use
from minigrad.kernels.dispatch import FLOAT32
from minigrad.kernels.examples import EXAMPLES

ROOT = Path(command.__file__).parents[2]
DTYPES = ["float32", "float64"]


def arrays(nested):
    """All arrays and numbers in nested tuples and dicts, in order."""
    if isinstance(nested, (np.ndarray, np.generic, int, float)):
        return [nested]
    if isinstance(nested, dict):
        nested = list(nested.values())
    return [x for part in nested for x in arrays(part)] if isinstance(nested, (tuple, list)) else []


def test_every_kernel_has_an_example():
    assert set(twins) <= set(EXAMPLES)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name in EXAMPLES if name in twins])  # some rooms may be missing
def test_kernel_and_line_agree_on_the_examples(name, dtype):
    pytest.importorskip("numba")
    rng, tolerance = np.random.default_rng(0), 100 * np.finfo(dtype).eps
    with use("numpy"):
        calls = EXAMPLES[name](lambda *shape: rng.normal(size=shape).astype(dtype), 700)
        for arguments, parameters in calls:
            with use("numba"):
                if not twins[name].serves(*arguments):
                    pytest.skip("this kernel needs what this machine has not")
            results, given = [], []
            for run in (twins[name].line, twins[name].kernel):
                given.append(copy.deepcopy(arguments))  # some write into their arguments
                results.append(run(*given[-1], **parameters))
            if results[0] is None or (isinstance(results[0], tuple) and results[0][0] is None):
                results = given  # nothing is returned: compare what was written into the arguments
            compared = list(zip(*map(arrays, results), strict=True))
            assert compared
            for expected, actual in compared:
                np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)
                assert np.asarray(actual).dtype == np.asarray(expected).dtype


@pytest.mark.parametrize("home", sorted({twin.home for twin in twins.values()}))
def test_a_kernel_returns_no_arrays(home):
    """Where Numba makes arrays for Python, a Ctrl-C that has just arrived becomes a SystemError."""
    pytest.importorskip("numba")
    served = [run for twin in twins.values() if twin.home == home for run in command.examples(twin, FLOAT32, 200)]
    if not served:
        pytest.skip("these kernels need what this machine has not")
    with np.errstate(all="ignore"):
        for _, kernel in served:
            kernel()
    kernels = vars(importlib.import_module(f"minigrad.kernels.{home}")).values()
    signatures = [s for kernel in kernels for s in getattr(kernel, "nopython_signatures", [])]
    assert [s for s in signatures if "array" in str(s.return_type)] == []


def printed(capsys):
    mg.kernels.table()
    return {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}


def test_the_table_says_from_how_many_elements_on_a_kernel_serves_and_why(capsys):
    pytest.importorskip("numba")
    with use("auto"):
        rows = printed(capsys)
    assert set(rows) == {"kernel", *twins}
    assert rows["tanh"].split()[1:7] == ["from", "8,192", "on", "from", "2,048", "on"]
    assert rows["tanh"].endswith(twins["tanh"].why)
    with use("numba"):
        assert printed(capsys)["tanh"].split()[1:3] == ["Numba", "Numba"]
    with use("numpy"):
        assert printed(capsys)["tanh"].split()[1:3] == ["NumPy", "NumPy"]


def test_ratios_stand_in_the_table(capsys):
    with use("auto"):
        listing.table({("tanh", np.dtype(np.float32)): (1.5, 2.25)})
    lines = capsys.readouterr().out.splitlines()
    tanh = next(line for line in lines if line.startswith("tanh "))
    relu = next(line for line in lines if line.startswith("relu "))
    assert "1.50" in tanh
    assert "2.25" in tanh
    assert "–" in relu


@pytest.mark.slow
def test_the_command_compiles_and_measures_everything(monkeypatch, capsys):
    """In this process, so that kernels which other tests compiled are not compiled again."""
    pytest.importorskip("numba")
    from minigrad.kernels import updates

    monkeypatch.setattr(command, "ratio", partial(command.ratio, rounds=1))
    assert command.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines if line} >= set(twins)
    assert "–" not in "".join(lines)  # every one was measured
    assert lines[-1].startswith("compiled or loaded in ")
    for dtype in DTYPES:  # the kernels of the optimizers, too
        assert any(dtype in str(signature) for signature in updates.adam_pass.signatures)
    assert list(Path(updates.adam_pass.stats.cache_path).glob("*adam_pass*.nbc"))


@pytest.mark.parametrize(("argument", "status"), [("--help", 0), ("gelu", 2)])
def test_a_question_is_answered_before_anything_is_compiled(monkeypatch, capsys, argument, status):
    monkeypatch.setattr(command, "compile_all", lambda: pytest.fail("compiles"))
    with pytest.raises(SystemExit) as ended:
        command.main([argument])
    assert ended.value.code == status
    said = capsys.readouterr()
    assert ("times as fast as NumPy" in said.out) if not status else ("unrecognized arguments: gelu" in said.err)


def test_the_command_without_numba():
    """In a new process, as a user calls it."""
    code = "import runpy, sys; sys.modules['numba'] = None; runpy.run_module('minigrad.kernels', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "kernels: Numba cannot be imported here, so NumPy computes everything\n"
