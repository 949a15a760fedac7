"""The architecture: files stay short, imports point one way, the rooms can be left out."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ["minigrad", "layers", "optim", "demos"]

# The most lines that a file may have, docstrings included; the first pattern that matches counts.
BUDGETS = {
    "minigrad/graph.py": 160,
    "minigrad/tensor.py": 261,  # the three files of the engine share 600 lines: op.py needs fewer
    "minigrad/op.py": 220,
    "minigrad/define.py": 175,  # a rule's parameters are checked where it is defined
    "minigrad/fused.py": 61,
    "minigrad/arrays.py": 95,  # lengths are summed in three ways: by a kernel, in float64, in blocks
    "minigrad/errors.py": 60,
    "minigrad/files.py": 60,
    "minigrad/operators.py": 60,
    "minigrad/printed.py": 60,
    "minigrad/settings.py": 96,
    "minigrad/signatures.py": 60,
    "minigrad/functional.py": 165,
    "minigrad/numpy_protocol.py": 200,
    "minigrad/numpy_extra.py": 269,  # NumPy's functions beyond the ops, np.gradient among them
    "minigrad/numpy_linalg.py": 90,
    "minigrad/check.py": 300,
    "minigrad/data.py": 90,
    "minigrad/differences.py": 231,  # a kink shows in three ways
    "minigrad/ops/elementwise.py": 250,
    "minigrad/ops/reductions.py": 180,
    "minigrad/ops/shaping.py": 290,
    "minigrad/ops/linear.py": 180,
    "minigrad/ops/networks.py": 280,
    "minigrad/ops/*.py": 200,
    "minigrad/kernels/*.py": 300,
    "minigrad/inspection/chain.py": 340,
    "minigrad/inspection/paths.py": 240,
    "minigrad/inspection/*.py": 300,
    "minigrad/inspection/monitor/*.py": 300,
    "minigrad/__init__.py": 60,
    "layers/module.py": 220,
    "layers/recurrent.py": 300,
    "layers/*.py": 160,
    "optim/schedule.py": 220,
    "optim/optimizer.py": 150,
    "optim/*.py": 130,
    "demos/lesson.py": 244,  # 19 of them list the lessons
    "demos/*.py": 160,
}

# The modules of the core, each with the modules of minigrad that it may import.
MAY_IMPORT = {
    "settings": set(),
    "errors": set(),
    "files": set(),
    "printed": set(),
    "kernels": set(),
    "graph": {"settings"},
    "arrays": {"kernels", "settings"},
    "operators": set(),
    "signatures": set(),
    "tensor": {"settings", "arrays", "graph", "operators"},
    "op": {"settings", "arrays", "errors", "graph", "kernels", "signatures", "tensor"},
    "fused": {"errors", "kernels", "graph", "op", "signatures", "tensor"},
    "define": {"errors", "fused", "op", "signatures", "tensor"},
    "ops": {"settings", "arrays", "define", "kernels", "op", "ops", "tensor"},
    "functional": {"arrays", "graph", "op", "ops", "settings", "tensor"},
    "numpy_protocol": {"define", "tensor"},
    "numpy_extra": {"arrays", "define", "op", "ops", "tensor", "numpy_protocol"},
    "numpy_linalg": {"arrays", "define", "ops"},
}


def source_files():
    return sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imported(path):
    """The full names of all modules that a file imports, except for type checkers only."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_a_file_can_be_read_in_one_sitting():
    for path in source_files():
        budget = next((lines for pattern, lines in BUDGETS.items() if path.match(pattern)), 220)
        length = len((ROOT / path).read_text(encoding="utf-8").splitlines())
        assert length <= budget, f"{path} has {length} lines, {budget} are allowed: does it hold one idea?"


def test_the_engine_is_600_lines():
    lengths = [len((ROOT / "minigrad" / name).read_text().splitlines()) for name in ("graph.py", "tensor.py", "op.py")]
    assert sum(lengths) <= 600


def test_a_call_of_an_op_is_40_lines():
    tree = ast.parse((ROOT / "minigrad/op.py").read_text(encoding="utf-8"))
    call = next(node for node in ast.walk(tree) if getattr(node, "name", "") == "__call__")
    assert call.end_lineno - call.lineno < 40


def test_imports_point_one_way():
    allowed = {
        "minigrad": {"minigrad"},
        "layers": {"minigrad", "layers"},
        "optim": {"minigrad", "optim"},
        "demos": set(PACKAGES),
    }
    for path in source_files():
        packages = {name.split(".")[0] for name in imported(path)} & set(PACKAGES)
        assert packages <= allowed[path.parts[0]], path


@pytest.mark.parametrize("path", [path for path in source_files() if path.parts[0] in ("layers", "optim")], ids=str)
def test_layers_and_optimizers_need_only_the_core(path):
    used = {name.split(".")[1] for name in imported(path) if name.startswith("minigrad.")}
    assert not used & {"check", "data", "inspection", "numpy_extra", "numpy_linalg"}


@pytest.mark.parametrize("module", MAY_IMPORT)
def test_the_core_is_built_from_the_ground_up(module):
    paths = [path for path in source_files() if path.parts[0] == "minigrad" and path.with_suffix("").parts[1] == module]
    known = {path.with_suffix("").parts[1] for path in source_files() if path.parts[0] == "minigrad"}
    for path in paths:
        used = {name.split(".")[1] for name in imported(path) if name.startswith("minigrad.")} & known
        assert used - {module} <= MAY_IMPORT[module], path


def test_the_names_of_minigrad_are_public_for_type_checkers_too():
    """In a package with py.typed, a name that is only imported is private: `a as a` and `*` hand it on."""
    body = ast.walk(ast.parse((ROOT / "minigrad/__init__.py").read_text(encoding="utf-8")))
    given = [(node.module, name) for node in body if isinstance(node, ast.ImportFrom) for name in node.names]
    kept = [name for module, name in given if module.startswith("minigrad.")]
    assert len(kept) > 20
    assert [name.name for name in kept if name.name not in ("*", name.asname)] == []


def test_every_file_opens_with_what_it_is_for():
    for path in source_files():
        assert ast.get_docstring(ast.parse((ROOT / path).read_text(encoding="utf-8"))), path


def test_importing_minigrad_is_light():
    code = "import sys, minigrad; print([m for m in ('numba', 'matplotlib', 'tqdm') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_ci_runs_the_commands_of_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8")
    for command in ('pip install -e ".[test]"', "python -m pytest -n 2 --dist loadfile"):
        assert re.search(rf"^{re.escape(command)}$", readme, re.M), command
        assert re.search(rf"^{re.escape(command)}$", ci, re.M), command
