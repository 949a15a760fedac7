"""The ladder of products: all rungs compute the same, their order is as claimed, and verdicts follow the numbers."""

import numpy as np
import pytest

from demos.lesson import UserError, main

pytest.importorskip("numba")

from demos import matmul

SIZES = (16, 40, 256)


@pytest.fixture(scope="module")
def result():
    return matmul.run(sizes=SIZES, rounds=2)


def test_every_rung_is_the_same_product(result):
    assert result.numbers["off"] < 1e-6
    assert matmul.run(sizes=(9,), rounds=1, dtype="float64").numbers["off"] < 1e-14


@pytest.mark.parametrize("name", matmul.RUNGS)
def test_a_rung_writes_the_product(name):
    a, b = np.random.default_rng(1).normal(size=(2, 11, 11))
    c = np.zeros((11, 11))
    matmul.RUNGS[name][0](a, b, c)
    assert np.allclose(c, a @ b, rtol=1e-12)


def test_the_ladder_goes_up(result):
    """Where one rung is many times as fast as another, half of the measured ratio is required."""
    speeds = result.numbers["speeds"]
    assert speeds["definition"][0] > 20 * speeds["Python"][0]
    assert speeds["rows"][-1] > 3 * speeds["definition"][-1]
    assert speeds["fours"][-1] > 1.3 * max(speeds["rows"][-1], speeds["panels"][-1])
    assert speeds["NumPy"][-1] > 5 * speeds["definition"][-1]
    assert np.isnan(speeds["Python"]).tolist() == [False, False, True]


def test_no_rung_does_more_than_arithmetic_alone(result):
    for name in result.numbers["speeds"].keys() - {"Python", "NumPy"}:
        assert np.all(result.numbers["speeds"][name] < 1.2 * result.numbers["at hand"])


def test_the_picture_shows_the_numbers(result):
    left, right = result.figure.axes
    lines = {line.get_label(): line for line in left.lines}
    for name, speed in result.numbers["speeds"].items():
        assert np.array_equal(lines[name].get_xdata(), SIZES)
        assert np.array_equal(lines[name].get_ydata(), speed, equal_nan=True)
    assert set(lines["numbers at hand"].get_ydata()) == {result.numbers["at hand"]}
    shares = [100 * speed[-1] / result.numbers["at hand"] for speed in list(result.numbers["speeds"].values())[1:]]
    assert np.allclose([bar.get_width() for bar in right.patches], shares)
    assert len({line.get_linestyle() + line.get_marker() for line in left.lines}) == len(left.lines)
    assert not any(label.get_visible() for label in left.get_xticklabels(minor=True))  # only the sizes are written


def test_the_table_shows_the_numbers(result):
    for n, *speeds in zip(SIZES, *result.numbers["speeds"].values(), strict=True):
        row = next(line for line in result.table.splitlines() if line.startswith(f"{n} "))
        shown = [float(cell) if cell != "—" else np.nan for cell in row.split()[1:]]
        assert np.allclose(shown, speeds, rtol=0.006, equal_nan=True)


def test_the_backward_pass_of_a_product_is_two_products(result):
    assert "Bᵀ [256×256] × upstream" in result.table
    assert "Aᵀ [256×256] × upstream" in result.table
    assert 0.5 < result.numbers["backward"] < 10


def verdicts(speeds, beside=None, back=2.0):
    names = ("Python", "definition", "rows", "panels", "fours", "NumPy")
    speeds = {name: np.array([speed]) for name, speed in zip(names, speeds, strict=True)}
    beside = {name: speed[0] for name, speed in speeds.items()} | (beside or {})
    return [claim.verdict.split()[0:2] for claim in matmul.claims([512], speeds, beside, back)]


def test_verdicts_follow_the_numbers():
    as_measured = verdicts([0.01, 1, 30, 28, 80, 100], {"definition": 2})
    assert as_measured == [
        ["false"],
        ["holds", "if"],
        ["holds"],
        ["holds", "if"],
        ["false"],
        ["holds", "if"],
        ["holds"],
    ]
    blocks_a_little = verdicts([0.01, 1, 30, 39, 80, 100], {"definition": 2})  # between 0.7 and 1.3, run by run
    assert blocks_a_little == as_measured
    all_alike = verdicts([1, 1, 1, 1, 1, 1], back=1)
    assert all_alike == [["holds"], ["holds"], ["false"], ["false"], ["false"], ["holds"], ["false"]]
    only_assembly = verdicts([0.01, 1, 2, 4, 4, 100], {"definition": 2, "fours": 8})
    assert only_assembly == [["false"], ["false"], ["holds"], ["holds"], ["holds"], ["false"], ["holds"]]


@pytest.mark.parametrize(("n", "count"), [(100, 6), (128, 7)])
def test_only_a_power_of_two_says_something_about_powers_of_two(n, count):
    speeds = {name: np.array([1.0]) for name in ("Python", "definition", "rows", "panels", "fours", "NumPy")}
    said = [claim.said for claim in matmul.claims([n], speeds, dict.fromkeys(speeds, 1.0), 2.0)]
    assert len(said) == count
    assert any("Powers" in text for text in said) == (n == 128)


def test_what_was_finished_is_kept(monkeypatch):
    climb = matmul.climb

    def interrupted(n, *others):
        if n == 12:
            raise KeyboardInterrupt
        return climb(n, *others)

    monkeypatch.setattr(matmul, "climb", interrupted)
    result = matmul.run(sizes=(10, 12, 14), rounds=1)
    assert not result.complete
    assert result.numbers["sizes"] == [10]


@pytest.mark.parametrize("wrong", [{"sizes": ()}, {"sizes": (8, 0)}, {"sizes": (5000,)}, {"rounds": 0}], ids=str)
def test_wrong_options(wrong):
    with pytest.raises(UserError, match=f"--{next(iter(wrong))}: "):
        matmul.run(**wrong)


def test_as_a_command(capsys, tmp_path):
    assert main(["matmul", "--sizes", "8", "16", "--rounds", "1", "--out", str(tmp_path)]) == 0
    assert "GFLOP/s of one core" in capsys.readouterr().out
    assert (tmp_path / "matmul.png").stat().st_size > 10_000
    assert main(["matmul", "--rounds", "0", "--out", str(tmp_path)]) == 2
    assert "--rounds: at least 1, not 0" in capsys.readouterr().err
