"""The lesson on text: what it reads and writes, resuming from a file, its picture, its options."""

import math
import sys
from itertools import pairwise

import numpy as np
import pytest

import minigrad as mg
from demos import letters, text
from demos.lesson import UserError, main
from demos.letters import guesses, held_out, learn, read, resume, sample, save, windows, writer


@pytest.fixture(scope="module")
def result():
    return text.run(**text.QUICK)


@pytest.fixture
def abc(tmp_path):
    """A text of three letters in which each is followed by the next."""
    path = tmp_path / "abc.txt"
    path.write_text("abc" * 5000, encoding="utf-8")
    return str(path)


# Reading and writing


def test_the_documentation_without_repetitions():
    pytest.importorskip("pydoc_data.topics")
    source = read(None)
    paragraphs = source.content.split("\n\n")
    assert len(paragraphs) == len(set(paragraphs)) > 1000
    whole = np.concatenate([source.train, source.held_out])
    assert "".join(source.characters[i] for i in whole) == source.content
    assert len(source.held_out) == pytest.approx(len(whole) / 10, abs=1)


def test_every_character_of_a_file_counts(tmp_path):
    """Also NUL, which NumPy drops from the end of a string, and one beyond 16 bits."""
    path = tmp_path / "text"
    path.write_text("a\0é😀" * 2500, encoding="utf-8")
    source = read(str(path))
    assert source.characters == "\0aé😀"
    assert "".join(source.characters[i] for i in [*source.train, *source.held_out]) == source.content


def test_windows_are_followed_by_the_next_character(abc):
    source = read(abc)
    x, y = windows(source.train, np.array([0, 4]), 5)
    assert ["".join(source.characters[i] for i in row) for row in x] == ["abcab", "bcabc"]
    assert ["".join(source.characters[i] for i in row) for row in y] == ["bcabc", "cabca"]


def test_guesses_on_a_text_that_repeats(abc):
    """All letters are equally frequent, so frequency says nothing; pairs say all, up to the 1 added to each count."""
    found = guesses(read(abc))
    assert found["any character"] == pytest.approx(math.log(3))
    assert found["frequent ones"] == pytest.approx(math.log(3), abs=1e-4)
    assert found["pairs"] == pytest.approx(-math.log(4501 / 4503), abs=1e-4)


def test_a_trained_network_writes_what_it_read(abc):
    source = read(abc)
    model, optimizer = writer(source, 8, 150, seed=0)
    losses = learn(model, optimizer, source, length=12, until=150, seed=0)
    assert losses[0] == pytest.approx(math.log(3), abs=0.3)
    assert held_out(model, source, 12) < 0.15  # nearly all from the first letter, which it cannot predict
    written = sample(model, source, 300, seed=0)
    assert len(written) == 300
    assert sum(pair in written for pair in ("ab", "bc", "ca")) == 3
    right = sum(first + second in ("ab", "bc", "ca") for first, second in pairwise(written))
    assert right > 0.95 * 299


def test_samples_have_the_probabilities_of_the_softmax(abc):
    """With zero weights in its head the network draws every letter from the same softmax."""
    source = read(abc)
    model, _ = writer(source, 4, 10, seed=0)
    model[2].weight.data[:] = 0
    model[2].bias.data[:] = np.log([0.5, 0.3, 0.2])
    written = sample(model, source, 4000, seed=1)
    shares = [written.count(letter) / 4000 for letter in "abc"]
    assert np.allclose(shares, [0.5, 0.3, 0.2], atol=0.03)  # four standard deviations


def test_backwards_against_gradients_of_the_state_between_two_calls(abc):
    """c reaches the loss through the steps after it, and through h = o·tanh c."""
    source = read(abc)
    model, _ = writer(source, 5, 10, seed=0)
    model.astype(np.float64)
    length, norms = 9, []
    found, chain = text.backwards(model, source, length)
    x, y = windows(source.held_out, np.linspace(0, len(source.held_out) - length - 1, 16).astype(int), length)
    embedding, lstm, head = model
    for back in (0, 3):
        with mg.no_grad():
            _, (h, c) = lstm(embedding(x[:, : length - back]), tuple(np.zeros((2, 1, 16, 5))))
        o = h.numpy() / np.tanh(c.numpy())
        c = mg.tensor(c, requires_grad=True)
        h = o * mg.tanh(c)
        if back:
            _, (h, _) = lstm(embedding(x[:, length - back :]), (h, c))
        mg.cross_entropy(head(h[0]), y[:, -1]).backward()
        norms.append(np.linalg.norm(c.grad))
    assert len(found) == length
    assert found[0] == 1
    assert found[3] == pytest.approx(norms[1] / norms[0], rel=1e-9)
    assert "diag(f[" in chain
    assert "✓" in chain


# Saving and going on


def test_training_goes_on_from_a_file_with_the_same_bits(abc, tmp_path):
    source = read(abc)
    straight = writer(source, 6, 40, seed=0)
    losses = learn(*straight, source, length=12, until=40, seed=0)
    first, then = writer(source, 6, 40, seed=0), writer(source, 6, 40, seed=5)
    before = learn(*first, source, length=12, until=25, seed=0)
    save(tmp_path / "state", source, *first)
    resume(tmp_path / "state", source, *then)
    assert before + learn(*then, source, length=12, until=40, seed=0) == losses
    for p, q in zip(straight[0].parameters(), then[0].parameters(), strict=True):
        assert p.data.tobytes() == q.data.tobytes()


def test_a_run_in_two_parts_ends_as_one_run(abc, tmp_path, monkeypatch):
    monkeypatch.setattr(text, "STAGES", 4)
    options = {"text": abc, "hidden": 4, "length": 12, "steps": 20, "keep": str(tmp_path / "state.npz")}
    whole = text.run(**options | {"keep": None}).numbers["rows"]
    stopped = text.run(**options)
    assert list(stopped.numbers["rows"]) == list(whole) == [5, 10, 15, 20]
    with pytest.raises(UserError, match="20 steps were taken; ask for more with --steps"):
        text.run(**options)
    more = text.run(**options | {"steps": 30})
    assert list(more.numbers["rows"]) == [22, 30]
    assert "went on from step 20" in more.table


def test_ctrl_c_keeps_what_is_finished_and_the_next_run_goes_on(abc, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(text, "STAGES", 4)
    options = f"--text {abc} --hidden 4 --length 12 --steps 20 --keep {tmp_path}/state --out {tmp_path}"
    with monkeypatch.context() as patch:
        patch.setattr(text, "learn", stopping_at(15))
        assert main(["text", *options.split()]) == 130
    stopped = capsys.readouterr().out
    assert main(["text", *options.split()]) == 0
    going_on = capsys.readouterr().out
    assert main(["text", *options.replace("state", "other").split()]) == 0
    whole = capsys.readouterr().out
    assert "what the textbooks say" not in stopped
    assert "went on from step 10" in going_on
    lines = [line for line in whole.split("\n") if line.startswith(("15  ", "20  "))]
    assert len(lines) == 2
    assert all(line in going_on for line in lines)


def stopping_at(step):
    def interrupted(model, optimizer, source, length, until, seed):
        if until == step:
            raise KeyboardInterrupt
        return learn(model, optimizer, source, length, until, seed)

    return interrupted


# What the lesson claims


def test_it_learns_more_than_pairs_of_letters(result, rows):
    last = list(rows.values())[-1]
    assert result.numbers["new"] == pytest.approx(result.numbers["guesses"]["any character"], abs=0.1)
    assert last["held out"] < 2.25 < result.numbers["guesses"]["pairs"] < result.numbers["guesses"]["frequent ones"]
    assert last["learning"] < rows[25]["learning"] - 1
    assert max(row["words"] for row in rows.values()) > rows[25]["words"]  # the last sample may have none


def test_the_gradient_fades_on_its_way_back(rows):
    for row in rows.values():
        assert row["back"][0] == 1
        assert row["back"][-1] < 0.01


def test_going_on_needs_what_the_optimizer_remembers(result):
    ways = result.numbers["ways"]
    assert len(ways["straight on"]) == 20
    assert ways["from the file"] == ways["straight on"]
    assert ways["weights alone"][0] == ways["straight on"][0]
    assert ways["weights alone"][-1] != ways["straight on"][-1]


@pytest.mark.slow
def test_the_full_run_reads_below_one_point_six():
    """In less than a quarter of its steps."""
    pytest.importorskip("pydoc_data.topics")
    source = read(None)
    model, optimizer = writer(source, 128, 2000, seed=0)
    learn(model, optimizer, source, length=100, until=450, seed=0)
    assert held_out(model, source, 100) < 1.6


def known(held=1.4, pairs=2.4, new=4.6, reach=1e-4, resumed=0.0, alone=0.1):
    guessed = {"any character": 4.63, "frequent ones": 3.2, "pairs": pairs}
    ways = {"straight on": [1.0], "from the file": [1.0 + resumed], "weights alone": [1.0 + alone]}
    rows = {10: {"held out": held, "words": 0.5, "back": np.array([1, reach])}}
    return {"rows": rows, "guesses": guessed, "new": new, "ways": ways}


@pytest.mark.parametrize(
    ("changed", "verdicts"),
    [
        ({}, ["holds", "holds", "false", "holds if the optimizer is saved too"]),
        ({"new": 5.0, "held": 2.5}, ["false", "false", "false", "holds if the optimizer is saved too"]),
        ({"reach": 0.5, "alone": 0.0}, ["holds", "holds", "holds", "holds"]),
        ({"resumed": 0.2}, ["holds", "holds", "false", "false"]),
    ],
)
def test_claims_follow_the_numbers(changed, verdicts):
    assert [claim.verdict for claim in text.claims(**known(**changed))] == verdicts


# What is shown


def test_the_picture_shows_the_numbers(result, rows):
    loss, back, after = result.figure.axes
    lines = {line.get_label(): line for line in loss.lines}
    for key in ("learning", "held out"):
        assert lines[key].get_ydata().tolist() == [row[key] for row in rows.values()]
        assert lines[key].get_xdata().tolist() == list(rows)
    assert [line.get_ydata()[0] for line in loss.lines[2:]] == list(result.numbers["guesses"].values())
    for line, row in zip(back.lines, rows.values(), strict=True):
        assert np.array_equal(line.get_ydata(), row["back"])
    straight = result.numbers["ways"]["straight on"]
    for line, (name, losses) in zip(after.lines, result.numbers["ways"].items(), strict=True):
        assert line.get_label() == name
        assert line.get_ydata().tolist() == [a - b for a, b in zip(losses, straight, strict=True)]
    assert result.figure.get_supxlabel().startswith("How to read: ")


def test_the_table_shows_the_numbers(result, rows):
    lines = {line.split()[0]: line for line in result.table.replace("−", "-").split("\n") if line.strip()}
    for step, row in rows.items():
        learning, on_others, words, ten, all_back = lines[str(step)].split()[1:6]
        assert [float(learning), float(on_others)] == pytest.approx([row["learning"], row["held out"]], abs=6e-4)
        assert words == f"{row['words']:.0%}"
        assert [float(ten), float(all_back)] == pytest.approx([row["back"][10], row["back"][-1]], rel=0.06)
    assert list(rows.values())[-1]["sample"] in result.table


def test_samples_are_shown_while_it_trains(abc, capsys):
    found = text.run(text=abc, hidden=4, length=12, steps=10)
    shown = capsys.readouterr().err
    for step, row in found.numbers["rows"].items():
        assert f"step {step}: {row['held out']:.3f} nats per character\n{row['sample']}\n" in shown


# Options, and what can go wrong


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"hidden": 0}, "--hidden: at least 1, not 0"),
        ({"length": 11}, "--length: at least 12, not 11"),
        ({"length": 10**6}, "--length: at most 750 for this text, not 1000000"),
        ({"steps": 9}, "--steps: at least 10, not 9"),
        ({"seed": -1}, "--seed: at least 0, not -1"),
    ],
)
def test_wrong_options_are_one_sentence(options, sentence, abc):
    with pytest.raises(UserError, match=sentence):
        text.run(text=abc, **options)


def test_texts_that_cannot_be_read(tmp_path, capsys):
    (tmp_path / "latin.txt").write_bytes("café".encode("latin-1") * 5000)
    (tmp_path / "short.txt").write_text("too short", encoding="utf-8")
    sentences = {
        "nowhere.txt": "cannot be read as UTF-8 text (",
        "latin.txt": "cannot be read as UTF-8 text (",
        "short.txt": "has 9 characters; 10,000 are needed to learn from",
        "": "cannot be read as UTF-8 text (",
    }
    for name, sentence in sentences.items():
        assert main(["text", "--text", str(tmp_path / name), "--out", str(tmp_path)]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"python -m demos: --text {tmp_path / name}: {sentence}")
        assert error.count("\n") == 1


def test_a_python_without_its_documentation(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(UserError, match=r"this Python has no pydoc_data\.topics; name a text of your own: --text FILE"):
        text.run()


def test_files_that_do_not_fit(abc, tmp_path, capsys, monkeypatch):
    keep = tmp_path / "state.npz"
    small = {"text": abc, "length": 12, "steps": 10}
    monkeypatch.setattr(text, "STAGES", 2)
    text.run(**small, hidden=4, keep=str(keep))
    with pytest.raises(UserError, match=r"--keep .*state.npz: .*has shape \(32, 16\), not \(32, 20\)"):
        text.run(**small, hidden=5, keep=str(keep))
    other = tmp_path / "other.txt"
    other.write_text("abd" * 5000, encoding="utf-8")
    with pytest.raises(UserError, match="it was written for another text"):
        text.run(**small | {"text": str(other)}, hidden=4, keep=str(keep))
    keep.write_bytes(b"PK, but not a zip file")
    with pytest.raises(UserError, match="is not a state written by save"):
        text.run(**small, hidden=4, keep=str(keep))
    assert main(["text", "--text", abc, "--keep", str(tmp_path / "no" / "folder"), "--out", str(tmp_path)]) == 2
    assert "No such file or directory" in capsys.readouterr().err


def test_an_unfinished_file_never_takes_the_place_of_a_good_one(abc, tmp_path, monkeypatch):
    source = read(abc)
    model, optimizer = writer(source, 4, 10, seed=0)
    save(tmp_path / "state.npz", source, model, optimizer)
    good = (tmp_path / "state.npz").read_bytes()
    monkeypatch.setattr(letters.files.os, "fsync", full)
    learn(model, optimizer, source, length=12, until=2, seed=0)
    with pytest.raises(OSError, match="disk is full"):
        save(tmp_path / "state.npz", source, model, optimizer)
    assert (tmp_path / "state.npz").read_bytes() == good


def full(file):
    raise OSError("disk is full")
