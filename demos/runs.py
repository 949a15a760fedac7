"""One run of the comparison of remedies, and many of them: in this process, in several, or on a cluster.

- `measure(Run(…))`: train one network and measure what came of it.
- `spread(measure, runs, pool)`: `[measure(run) for run in runs]`, wherever they are computed.
- `with executor(workers, dask) as pool:` an executor of `concurrent.futures`, or None for this process alone.

A run draws its random numbers from its own seed, so it has the same bits wherever it is computed.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
import optim
from demos import datasets
from demos.lesson import UserError, at_least, each
from demos.training import Way, train
from layers import BatchNorm, Dense, Dropout, ReLU, Sequential

REMEDIES = ("none", "clipping", "L2", "L1", "dropout", "plateau", "BatchNorm", "He", "all")
OPTIMIZERS = {"SGD": (partial(optim.SGD, momentum=0.9), 0.02), "Adam": (optim.Adam, 0.002)}  # and their rates


class Run(NamedTuple):
    """Everything that one run depends on, wherever it is computed."""

    remedy: str
    optimizer: str
    strength: float  # of the L2 penalty
    seed: int  # of the first weights, the order of training and dropout
    depth: int
    width: int
    epochs: int
    place: tuple  # where the images are: the arguments of `load`
    kernels: str

    def has(self, remedy: str) -> bool:
        return self.remedy in (remedy, "all")


@lru_cache(maxsize=1)
def load(data: str, folder: str | None, seed: int, dtype: str) -> datasets.Dataset:
    """The images, read once in each process."""
    mg.set_default_dtype(dtype)
    return datasets.load(data, folder, seed)


def network(run: Run, inputs: int) -> Sequential:
    """All remedies draw the same random numbers: He's weights are the others times √6."""
    rng, layers = np.random.default_rng(run.seed), []
    start = "he_uniform" if run.has("He") else "fan_in_uniform"
    for pair in pairwise([inputs, *run.depth * [run.width]]):
        layers += [Dense(*pair, init=start, rng=rng), *[BatchNorm(run.width)] * run.has("BatchNorm"), ReLU()]
        layers += [Dropout(0.1, rng=rng.spawn(1)[0])] * run.has("dropout")
    return Sequential(*layers, Dense(run.width, 10, init=start, rng=rng))


def measure(run: Run) -> dict[str, Any]:
    """Train one network, then look at its weights and at the gradient on its way through them."""
    images = load(*run.place)
    mg.set_default_dtype(images.x.dtype)
    with mg.kernels.use(run.kernels):
        model = network(run, images.x.shape[1])
        optimizer, rate = OPTIMIZERS[run.optimizer]
        way = Way(
            optim.ReduceOnPlateau(rate, 0.3, patience=2) if run.has("plateau") else optim.Constant(rate),
            partial(optim.clip_by_global_norm, limit=1.0 if run.has("clipping") else np.inf),
            l2=run.strength or 1e-4 * run.has("L2"),
            l1=1e-5 * run.has("L1"),
            optimizer=optimizer,
        )
        steps = run.epochs * -(-len(images.x) // 64)
        found = train(model, images, way, steps, np.random.default_rng(run.seed))
        model.eval()
        trace = mg.trace(mg.cross_entropy(model(images.x[:256]), images.y[:256]))
    weights = [p.data for p in model.parameters() if p.ndim == 2]
    arriving = [node.norm for node in trace.nodes if node.kind == "weight"]
    with np.errstate(divide="ignore", invalid="ignore"):  # where nothing arrives
        decades = np.log10(arriving[0]) - np.log10(arriving[-1])
    return {
        "correct": found["correct"],
        "gradient": float(np.median(found["gradient"])),
        "weights": float(np.sqrt(sum(np.sum(w**2) for w in weights))),
        "decades": float(decades),
        "sigma": np.array([np.linalg.norm(w, 2) for w in weights]),  # the largest singular value of each
        "losses": found["losses"],
    }


def spread(measure: Callable, items: Sequence, pool: Executor | None = None) -> list:
    """The measurement of every item, in order; Ctrl-C keeps those before the first one that is not finished."""
    if pool is None:
        return each(measure, items)
    with undisturbed():
        waiting = [pool.submit(measure, item) for item in items]
    return each(Future.result, waiting)


@contextmanager
def executor(workers: int = 1, dask: str | None = None) -> Iterator[Executor | None]:
    """`workers` processes of this machine, or the workers of the Dask cluster whose scheduler is at address `dask`.

    Raises
    ------
    UserError
        If `workers` is below 1, Dask is not installed, or no scheduler answers.
    """
    at_least(workers=(workers, 1))
    if dask is not None:
        with client(dask) as cluster:
            yield cluster.get_executor()
    elif workers == 1:
        yield None
    else:
        spawn = multiprocessing.get_context("spawn")  # a forked process may hold locks of threads it does not have
        with ProcessPoolExecutor(workers, spawn, signal.signal, (signal.SIGINT, signal.SIG_IGN)) as pool:
            others = set(multiprocessing.active_children())
            try:
                yield pool
            finally:  # after Ctrl-C they may still be at work
                for process in set(multiprocessing.active_children()) - others:
                    process.terminate()


def client(address: str):
    """A connection to a Dask cluster, whose workers need minigrad and the data under the same paths."""
    try:
        from distributed import Client
    except ImportError as error:
        raise UserError('--dask: Dask is not installed; pip install -e ".[dask]"') from error
    try:
        return Client(address, timeout=10)
    except (OSError, ValueError) as error:  # nothing answers, or no valid address
        raise UserError(f"--dask: no scheduler answers at {address} ({error})") from error


@contextmanager
def undisturbed() -> Iterator[None]:
    """Delay Ctrl-C until the block ends; processes started inside inherit the mask and never receive it."""
    if not hasattr(signal, "pthread_sigmask"):  # as on Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
