"""The command line, and the parts that lessons are made of."""

import contextlib
import importlib
import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal

import pytest

import demos
from demos import lesson
from demos.lesson import Claim, Result, UserError, each, main, measured, picture, require, table, written

ROOT = Path(lesson.__file__).resolve().parents[1]


@pytest.fixture
def toy(monkeypatch):
    """A lesson that returns its arguments."""

    def run(
        depth: Annotated[int, "layers"] = 50,
        rate: Annotated[float, "learning rate"] = 0.1,
        kind: Annotated[Literal["plain", "residual"], "which"] = "plain",
        rows: Annotated[tuple[str, ...], "which rows"] = (),
        data_dir: Annotated[str | None, "a folder"] = None,
        noise: Annotated[bool, "add noise"] = False,
        seed: Annotated[int, "random numbers"] = 0,
    ) -> Result:
        require(depth > 0, f"depth: at least 1, not {depth}")
        module.calls.append(
            {"depth": depth, "rate": rate, "kind": kind, "rows": rows, "data_dir": data_dir, "noise": noise}
        )
        squares = each(module.measure, range(depth))
        figure = picture(4, 3, "the line is y = x².")
        figure.subplots().plot(squares)
        claims = [Claim("squares grow (Euclid)", f"up to {squares[-1]}", "holds")]
        return Result(table(("x²",), [(s,) for s in squares]), figure, {}, claims, len(squares) == depth)

    module = ModuleType("demos.toy")
    module.run, module.QUICK, module.calls, module.measure = run, {"depth": 3}, [], lambda x: x * x
    monkeypatch.setitem(sys.modules, "demos.toy", module)
    monkeypatch.setitem(lesson.LESSONS, "toy", ("what are the squares of numbers?", "—", 0.1))
    return module


def test_without_a_name_the_lessons_are_listed(capsys):
    for arguments in ([], ["--help"]):
        assert main(arguments) == 0
        listed = capsys.readouterr().out
        for name, (question, after, minutes) in lesson.LESSONS.items():
            line = next(line for line in listed.splitlines() if line.startswith(f"{name} "))
            assert question in line
            assert line.split()[-2:] == [after, f"{minutes:g}"]


@pytest.mark.parametrize("name", lesson.LESSONS)
def test_what_quick_stands_for_can_be_typed(name, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "1000")  # each option on one line
    module = importlib.import_module(f"demos.{name}")
    with pytest.raises(SystemExit):
        lesson.options(name, module, ["--help"])
    typed = re.search(r"in a few seconds: (.*)", capsys.readouterr().out)[1].replace("no change needed", "")
    assert lesson.options(name, module, typed.split()) == lesson.options(name, module, ["--quick"])


def test_what_a_lesson_needs_comes_before_it():
    names = list(lesson.LESSONS)
    for name, (_, after, minutes) in lesson.LESSONS.items():
        assert after == "—" or names.index(after) < names.index(name)
        assert 0 < minutes <= 10


def test_every_lesson_is_registered():
    lessons = {path.stem for path in (ROOT / "demos").glob("*.py") if "\ndef run(" in path.read_text(encoding="utf-8")}
    assert lessons == set(lesson.LESSONS)


def test_a_lesson_prints_its_table_and_saves_its_picture(toy, capsys, tmp_path):
    assert main(["toy", "--depth", "4", "--out", str(tmp_path / "new" / "folder")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("x²\n──\n0\n1\n4\n9\n")
    assert "squares grow (Euclid)" in out
    assert "holds" in out
    picture = tmp_path / "new" / "folder" / "toy.png"
    assert out.rstrip().endswith(f"picture: {picture}")
    assert picture.read_bytes().startswith(b"\x89PNG")


COMMANDS = {  # lesson: (options, what it prints)
    "mechanics": ("--quick --seed 1", "∂e/∂"),
    "chain": ("--quick", "9100.44"),
    "logistic_map": ("--quick --weight 1.5", "tanh cell, w = 1.5"),
    "gradient_descent": ("--steps 30", "F rose"),
    "saturation": ("--quick --seed 1", "not computed"),
    "exploding": ("--width 8 --steps 10", "Clip the norm (Pascanu et al., 2013)"),
    "observe": ("--depth 3 --epochs 1", "What a monitor says"),
    "initialisation": ("--depth 3 --width 8 --epochs 1", "n·Var(W)"),
    "batchnorm": ("--epochs 1 --seed 2", "by the statistics of batches of"),
    "accumulation": ("--quick --steps 3", "256 images in parts"),
    "digits": ("--quick --seed 1", "with monitoring"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_lesson_as_a_command(name, capsys, tmp_path):
    options, printed = COMMANDS[name]
    assert main([name, *options.split(), "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert printed in out
    assert "what the textbooks say" in out
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_options_come_from_the_arguments_of_run(toy, tmp_path):
    wanted = {"depth": 2, "rate": 0.5, "kind": "residual", "rows": ("a", "b"), "data_dir": "x", "noise": True}
    given = "--depth 2 --rate 0.5 --kind residual --rows a b --data-dir x --noise --seed 1"
    assert main(["toy", *given.split(), "--out", str(tmp_path)]) == 0
    assert toy.calls == [wanted]


def test_quick_is_a_set_of_defaults(toy, tmp_path):
    main(["toy", "--quick", "--out", str(tmp_path)])
    main(["toy", "--depth", "5", "--quick", "--out", str(tmp_path)])
    main(["toy", "--out", str(tmp_path)])
    assert [call["depth"] for call in toy.calls] == [3, 5, 50]


BAD = {
    "--depth": ("expected one argument", "--depth"),
    "--depth many": ("invalid int value: 'many'", "--depth"),
    "--kind round": ("invalid choice: 'round'", "--kind"),
    "--dep 3": ("unrecognized arguments: --dep 3", ""),
    "3": ("unrecognized arguments: 3", ""),
}


@pytest.mark.parametrize("options", BAD)
def test_bad_options_leave_with_2_and_a_sentence(toy, capsys, options):
    with pytest.raises(SystemExit) as leaving:
        main(["toy", *options.split()])
    assert leaving.value.code == 2
    error = capsys.readouterr().err
    assert all(part in error for part in BAD[options])
    assert not toy.calls


def test_an_argument_without_a_text_is_named(toy, capsys, tmp_path):
    def run(depth: int = 50, seed: Annotated[int, "random numbers"] = 0) -> None: ...

    toy.run = run
    assert main(["toy", "--out", str(tmp_path)]) == 2
    assert 'run: write depth: Annotated[int, "what it is"] = 0' in capsys.readouterr().err


def test_a_lesson_without_a_seed_is_told_so(toy, capsys, tmp_path):
    def run(depth: Annotated[int, "layers"] = 50) -> None: ...

    toy.run = run
    assert main(["toy", "--out", str(tmp_path)]) == 2
    assert "run: every lesson has seed: Annotated" in capsys.readouterr().err


def test_a_seed_is_not_negative(toy, capsys, tmp_path):
    assert main(["toy", "--seed", "-1", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "python -m demos: --seed: at least 0, not -1\n"
    assert not toy.calls


def test_a_refusal_of_the_lesson_is_a_sentence(toy, capsys, tmp_path):
    assert main(["toy", "--depth", "0", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "python -m demos: depth: at least 1, not 0\n"


def test_an_unknown_lesson_is_a_sentence_with_a_near_name(capsys):
    assert main(["mechanic"]) == 2
    assert capsys.readouterr().err == "python -m demos: there is no lesson 'mechanic'; did you mean mechanics?\n"
    assert main(["xyz"]) == 2
    assert "did you mean" not in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_stops_before_the_lesson(toy, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere")):
        assert main(["toy", "--out", str(folder)]) == 2
        assert f"--out {folder}: cannot be written to (" in capsys.readouterr().err
    assert not toy.calls


def stop_at(n):
    def measure(x):
        if x == n:
            raise KeyboardInterrupt
        return x * x

    return measure


def test_ctrl_c_keeps_what_is_finished(toy, capsys, tmp_path):
    toy.measure = stop_at(3)
    assert main(["toy", "--out", str(tmp_path)]) == 130
    out, error = capsys.readouterr()
    assert "up to 4" in out
    assert (tmp_path / "toy.png").exists()
    assert error == "stopped: only what was finished is shown\n"


def test_ctrl_c_before_anything_is_finished(toy, capsys, tmp_path):
    toy.measure = stop_at(0)
    assert main(["toy", "--out", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "stopped before anything was finished\n"
    assert not list(tmp_path.iterdir())


def test_a_fault_of_the_lesson_is_not_hidden(toy, tmp_path):
    toy.measure = lambda x: 1 / 0
    with pytest.raises(ZeroDivisionError):
        main(["toy", "--out", str(tmp_path)])


def test_no_progress_bar_off_a_terminal(capsys):
    assert each(abs, [-1, -2]) == [1, 2]
    assert capsys.readouterr().err == ""


def test_what_was_measured_is_found_by_its_item():
    assert measured(abs, {-1: "one", -2: "two"}) == {-1: 1, -2: 2}
    assert measured(stop_at(2), range(5)) == {0: 0, 1: 1}


def test_written_numbers():
    assert [written(x) for x in ("a-b", 1234567, 2 / 3, -1e-9)] == ["a-b", "1234567", "0.666667", "−1e−09"]
    assert [written(x, ".1e") for x in (-0.00012, 0.0, float("nan"))] == ["−1.2e−04", "0.0e+00", "—"]
    assert [written(x, ".0%") for x in (0.25, float("nan"), -0.001)] == ["25%", "—", "0%"]
    assert [written(x, ".2f") for x in (-0.0, -0.004, -0.006, -10.0)] == ["0.00", "0.00", "−0.01", "−10.00"]


def test_table_columns():
    assert table(("row", "gain"), [("sigmoid", "0.25"), ("ReLU", "−1")]) == (
        "row      gain\n───────  ────\nsigmoid  0.25\nReLU       −1"
    )
    wrapped = table(("what", "which"), [("one two three", "four five")], widths=(8, 5))
    assert wrapped == "what      which\n────────  ─────\none two   four\nthree     five"


def test_result_prints_its_claims():
    result = Result("numbers", picture(1, 1, "."), {}, [Claim("ReLU solves it (a book)", "it does not", "false")])
    assert str(result).startswith("numbers\n\nwhat the textbooks say")
    assert "ReLU solves it (a book)" in str(result)
    assert str(Result("numbers", picture(1, 1, "."), {})) == "numbers"


def test_require():
    require(True, "never said")
    with pytest.raises(UserError, match="too deep"):
        require(False, "too deep")


def test_a_foreign_package_in_the_way_is_named(tmp_path):
    """In a new process, from a folder with a `layers.py` of its own, then from one with an `optim`."""
    module, package = tmp_path / "one" / "layers.py", tmp_path / "other" / "optim"
    module.parent.mkdir()
    module.write_text("")
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    code = f"""
import sys
sys.path[:0] = ["", {str(ROOT)!r}]
from demos.lesson import main
for sys.path[0] in {str(module.parent)!r}, {str(package.parent)!r}:
    print(main(["mechanics"]))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert ran.stdout == "2\n2\n"
    for foreign, error in zip((module, package), ran.stderr.splitlines(), strict=True):
        assert f"`import {foreign.stem}` finds {foreign}, which hides minigrad's own {ROOT / foreign.stem}" in error


def test_the_packages_are_in_place_here():
    lesson.check_packages()


def test_a_lesson_needs_no_import_of_its_own(monkeypatch):
    importlib.import_module("demos.chain")
    monkeypatch.delitem(sys.modules, "demos.chain")  # as if nobody had
    monkeypatch.delattr(demos, "chain")
    assert demos.chain.run.__module__ == "demos.chain"
    with pytest.raises(AttributeError, match="there is no lesson 'chian'"):
        _ = demos.chian


def test_the_command_as_a_command(tmp_path):
    ran = subprocess.run([sys.executable, "-m", "demos"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert ran.returncode == 0
    assert "python -m demos NAME --help" in ran.stdout


@pytest.mark.parametrize("chosen", ["", "mechanics"])
def test_a_reader_that_stops_reading_is_a_sentence(chosen, tmp_path, monkeypatch, capsys):
    """As after `python -m demos | head`, which closes the pipe."""

    class Closed(io.StringIO):
        def reconfigure(self, errors):
            pass

        def write(self, text):
            raise BrokenPipeError("Broken pipe")

    monkeypatch.setattr(sys, "stdout", Closed())
    assert main([chosen, "--out", str(tmp_path)] if chosen else []) == 2
    assert capsys.readouterr().err == "python -m demos: Broken pipe\n"


WITH_WORKERS = ("remedies", "--depth", "1", "--width", "4", "--workers", "2")


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ")
@pytest.mark.parametrize(
    ("chosen", "whole_terminal"),
    [(("vanishing",), False), (WITH_WORKERS, False), (WITH_WORKERS, True)],
    ids=["one process", "with workers", "with workers in a terminal"],
)
def test_ctrl_c_on_the_command(chosen, whole_terminal, tmp_path):
    """In a terminal all processes get the signal. Workers ignore it; they end when the first process does."""
    out = tmp_path / "pictures"
    running = subprocess.Popen(
        [sys.executable, "-m", "demos", *chosen, "--epochs", "100000", "--out", str(out)],
        cwd=ROOT,
        env=os.environ | {"MINIGRAD_KERNELS": "numpy"},  # training starts at once, nothing is compiled first
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background process would ignore it
    )
    try:
        deadline = time.monotonic() + 120
        while not out.exists() and time.monotonic() < deadline:  # the folder is made just before the lesson starts
            time.sleep(0.05)
        time.sleep(0.3)
        (os.killpg if whole_terminal else os.kill)(running.pid, signal.SIGINT)
        printed, complaint = running.communicate(timeout=120)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
    assert running.returncode == 130
    assert complaint == "stopped before anything was finished\n"
    assert printed == ""
