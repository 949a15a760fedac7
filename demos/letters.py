"""A text, letter by letter: a network that reads and writes it, and a file to resume training from.

- `read(path)`: the text as indices into its characters; None reads the documentation that comes with Python.
- `learn(model, optimizer, text, length, until, seed)`: training that can stop at any step and go on elsewhere.
- `save(path, text, model, optimizer)` and `resume(…)`: all one needs to go on, in one file; `three_ways(…)` shows why.
- `sample(model, text, count, seed)`: what the network writes; `guesses(text)`: losses of simple guesses, to compare.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
from demos.lesson import UserError, require
from layers import LSTM, Dense, Embedding, Sequential, files
from optim import Adam, CosineDecay, clip_by_global_norm

RATE, BATCH = 0.005, 32


class Text(NamedTuple):
    """A text as indices into its characters; the last tenth is held out."""

    name: str
    content: str
    characters: str  # each once
    train: np.ndarray
    held_out: np.ndarray


def read(path: str | None) -> Text:
    """The text in a file, or Python's documentation, each paragraph once, since its topics overlap."""
    try:
        if path is None:
            from pydoc_data.topics import topics

            content = "\n\n".join(dict.fromkeys("\n\n".join(topics.values()).split("\n\n")))
        else:
            content = Path(path).read_text(encoding="utf-8")
    except ImportError as error:
        raise UserError("this Python has no pydoc_data.topics; name a text of your own: --text FILE") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--text {path}: cannot be read as UTF-8 text ({error})") from error
    require(len(content) >= 10_000, f"--text {path}: has {len(content)} characters; 10,000 are needed to learn from")
    codes, indices = np.unique([*map(ord, content)], return_inverse=True)  # as strings, NumPy would drop a NUL
    cut = len(indices) * 9 // 10
    return Text(path or "pydoc_data.topics", content, "".join(map(chr, codes)), indices[:cut], indices[cut:])


def windows(indices: np.ndarray, starts: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """`length` characters from each start on, and for each the one that follows."""
    x = indices[starts[:, None] + np.arange(length + 1)]
    return x[:, :-1], x[:, 1:]


def writer(text: Text, hidden: int, steps: int, seed: int) -> tuple[Sequential, Adam]:
    """A float32 network that guesses the next character, and its optimizer for `steps` steps."""
    rng, count = np.random.default_rng(seed), len(text.characters)
    reader = LSTM(32, hidden, return_sequence=True, rng=rng)
    model = Sequential(Embedding(count, 32, rng=rng), reader, Dense(hidden, count, rng=rng)).astype(np.float32)
    return model, Adam(model.parameters(), lr=CosineDecay(RATE, steps, final=RATE / 10))


def loss_of(model: Sequential, x: np.ndarray, y: np.ndarray) -> Any:
    return mg.cross_entropy(model(x).reshape(-1, model[2].outputs), y.ravel())


def held_out(model: Sequential, text: Text, length: int) -> float:
    with mg.no_grad():
        return loss_of(model, *windows(text.held_out, np.arange(0, len(text.held_out) - length, length), length)).item()


def learn(model: Sequential, optimizer: Adam, text: Text, length: int, until: int, seed: int) -> list[float]:
    """Train up to step `until`; the batch of a step depends only on its number, so that training can go on later."""
    losses = []
    while optimizer.steps < until:
        starts = np.random.default_rng([seed, optimizer.steps]).integers(len(text.train) - length, size=BATCH)
        optimizer.zero_grad()
        loss = loss_of(model, *windows(text.train, starts, length))
        loss.backward()
        clip_by_global_norm(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses


def save(path: Path, text: Text, model: Sequential, optimizer: Adam) -> None:
    """Write everything to one file, completely or not at all."""
    parts = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "text": {"characters": text.characters}}
    flat = {f"{part}.{name}": np.asarray(value) for part, state in parts.items() for name, value in state.items()}
    files.write(path, flat)


def resume(path: Path, text: Text, model: Sequential, optimizer: Adam) -> None:
    """Load what `save` wrote, if the file exists; UserError if it does not fit."""
    if not Path(files.npz(path)).exists():
        return
    try:
        state = files.read(path)
        require(str(state.pop("text.characters", "")) == text.characters, "it was written for another text")
        for part, owner in (("model.", model), ("optimizer.", optimizer)):
            owner.load_state_dict({k.removeprefix(part): v for k, v in state.items() if k.startswith(part)})
    except ValueError as error:
        raise UserError(f"--keep {path}: {error}") from error


def three_ways(
    text: Text, model: Sequential, optimizer: Adam, again: Callable, length: int, count: int, seed: int
) -> dict[str, list[float]]:
    """The losses of `count` more steps: straight on, from a file, and from the weights in that file alone.

    `again()` makes a new network and its optimizer, to be loaded from the file.
    """
    resumed, forgetful, until = again(), again(), optimizer.steps + count
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.npz"
        save(path, text, model, optimizer)
        for way in (resumed, forgetful):
            resume(path, text, *way)
    forgetful[1].state = {p: {"steps": 0} for p in forgetful[1].params}  # Adam's means of the gradient are lost
    ways = {"straight on": (model, optimizer), "from the file": resumed, "weights alone": forgetful}
    return {name: learn(*way, text, length, until, seed) for name, way in ways.items()}


def sample(model: Sequential, text: Text, count: int, seed: int) -> str:
    """What the network writes: each character is drawn from its softmax, and is its next input."""
    (embedding, lstm, head), rng, written = model, np.random.default_rng(seed), [int(np.bincount(text.train).argmax())]
    state: Any = tuple(np.zeros((2, 1, 1, lstm.layers[0].hidden), np.float32))
    with mg.no_grad():
        for _ in range(count):
            h, state = lstm(embedding([[written[-1]]]), state)
            logits = head(h).numpy().ravel()
            written.append(int(np.argmax(logits + rng.gumbel(size=logits.size))))  # as rng.choice(p=softmax) would draw
    return "".join(text.characters[i] for i in written[1:])


def guesses(text: Text) -> dict[str, float]:
    """The held-out loss of three simple guesses: all characters alike, by frequency, by frequency of pairs."""
    count = len(text.characters)
    pairs = np.ones((count, count))  # as if each pair had been seen once before
    np.add.at(pairs, (text.train[:-1], text.train[1:]), 1)
    single, after = pairs.sum(axis=0), pairs / pairs.sum(axis=1, keepdims=True)
    losses = -np.log(single / single.sum())[text.held_out], -np.log(after)[text.held_out[:-1], text.held_out[1:]]
    return {
        "any character": float(np.log(count)),
        "frequent ones": float(losses[0].mean()),
        "pairs": float(losses[1].mean()),
    }
