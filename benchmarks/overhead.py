"""What an op costs beside its arithmetic: forward and backward on ten elements.

`python -m benchmarks.overhead` prints all, beside PyTorch if it is installed; each `track_` function is a benchmark of
its own. Both take turns on one thread, with Python's garbage collector on.

How the cost per node grows with the length of a graph is measured in a new process each time, since what ran before
leaves a memory in pieces; and also with the collector off, whose full collections visit every object of a live graph,
and for the barest chain that Python can hold.
"""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks._torch import torch  # before NumPy: it sets the number of threads

import numpy as np  # isort: skip

import minigrad as mg

# Ops of one vector, or after the slash of two, with the same name in minigrad and PyTorch; then those that differ
SAME_NAMES = """negative abs exp expm1 log1p square sin cos arctan sinh cosh tanh arcsinh sigmoid relu sum mean max min
    norm / add subtract multiply divide maximum minimum arctan2 hypot logaddexp matmul"""
OTHER_NAMES = {
    "power": (lambda x, z: x**3, lambda x, z: x**3),
    "softmax": (lambda x, z: mg.softmax(x), lambda x, z: torch.softmax(x, 0)),
    "log_softmax": (lambda x, z: mg.log_softmax(x), lambda x, z: torch.log_softmax(x, 0)),
    "logsumexp": (lambda x, z: mg.logsumexp(x), lambda x, z: torch.logsumexp(x, 0)),
    "softplus": (lambda x, z: mg.softplus(x), lambda x, z: torch.nn.functional.softplus(x)),
    "leaky_relu": (lambda x, z: mg.leaky_relu(x), lambda x, z: torch.nn.functional.leaky_relu(x)),
    "elu": (lambda x, z: mg.elu(x), lambda x, z: torch.nn.functional.elu(x)),
    "silu": (lambda x, z: mg.silu(x), lambda x, z: torch.nn.functional.silu(x)),
    "softsign": (lambda x, z: mg.softsign(x), lambda x, z: torch.nn.functional.softsign(x)),
    "clip": (lambda x, z: mg.clip(x, 0.2, 0.8), lambda x, z: torch.clip(x, 0.2, 0.8)),
    "std": (lambda x, z: mg.std(x), lambda x, z: torch.std(x, unbiased=False)),
    "cumsum": (lambda x, z: mg.cumsum(x, 0), lambda x, z: torch.cumsum(x, 0)),
    "reshape": (lambda x, z: x.reshape(2, 5), lambda x, z: x.reshape(2, 5)),
    "getitem": (lambda x, z: x[2:8], lambda x, z: x[2:8]),
    "flip": (lambda x, z: mg.flip(x), lambda x, z: torch.flip(x, (0,))),
    "concatenate": (lambda x, z: mg.concatenate([x, z]), lambda x, z: torch.cat([x, z])),
    "stack": (lambda x, z: mg.stack([x, z]), lambda x, z: torch.stack([x, z])),
    "mse": (lambda x, z: mg.mse(x, z), lambda x, z: torch.nn.functional.mse_loss(x, z)),
}


def ops() -> dict[str, tuple[Callable, Callable]]:
    table = {}
    for inputs, names in enumerate(SAME_NAMES.split("/"), start=1):
        for name in names.split():
            table[name] = named(mg, name, inputs), named(torch, name, inputs)
    return {**table, **OTHER_NAMES}


def named(library: Any, name: str, inputs: int) -> Callable:
    """The library's function `name`, called with one or two of the vectors."""
    return lambda x, z: getattr(library, name)(*(x, z)[:inputs])


def chain(x, z, length: int = 200):
    """`length` binary ops, each on the result of the previous one."""
    for _ in range(length // 2):
        x = x * z
        x = x + z
    return x


class Link:
    """The least that Python can keep of an op: its inputs and its result."""

    __slots__ = ("array", "inputs")

    def __init__(self, array: np.ndarray, *inputs: Link) -> None:
        self.array, self.inputs = array, inputs


def bare_chain(length: int) -> np.ndarray:
    """The arithmetic of `chain`, forward and backward, without an engine."""
    x = z = Link(np.full(10, 0.5, np.float32))
    for _ in range(length // 2):
        x = Link(x.array * z.array, x, z)
        x = Link(x.array + z.array, x, z)
    g, by_z = np.ones_like(z.array), np.zeros_like(z.array)
    while x.inputs:
        x, z = x.inputs  # of the sum
        by_z = by_z + g
        x, z = x.inputs  # of the product
        by_z, g = by_z + g * x.array, g * z.array
    return by_z + g


def step(f: Callable, library: str, dtype: str = "float32") -> Callable[[], None]:
    """Forward and backward of f on ten elements."""
    arrays = [np.linspace(0.1, 0.9, 10, dtype=dtype), np.linspace(0.95, 0.35, 10, dtype=dtype)]
    if library == "minigrad":
        x, z = (mg.tensor(a, requires_grad=True) for a in arrays)
        g = np.ones_like(f(x, z).data)
    else:
        x, z = (torch.tensor(a, requires_grad=True) for a in arrays)
        g = torch.ones_like(f(x, z))

    def run():
        f(x, z).backward(g)

    return run


def seconds(run: Callable, calls: int) -> float:
    start = time.process_time()
    for _ in range(calls):
        run()
    return (time.process_time() - start) / calls


def beside_pytorch(ours: Callable, theirs: Callable, calls: int = 200, rounds: int = 15) -> tuple[float, float]:
    """Our time in microseconds, and the median over rounds of its ratio to PyTorch's (nan without PyTorch)."""
    ours = step(ours, "minigrad")
    if torch is None:
        return min(seconds(ours, calls) for _ in range(rounds)) * 1e6, float("nan")
    theirs = step(theirs, "pytorch")
    pairs = [(seconds(ours, calls), seconds(theirs, calls)) for _ in range(rounds)]
    return min(a for a, _ in pairs) * 1e6, statistics.median(a / b for a, b in pairs)


def track_op_to_pytorch() -> float:
    """The median over the ops: at most 1."""
    return statistics.median(beside_pytorch(*pair)[1] for pair in ops().values())


def track_chain_to_pytorch() -> float:
    """A chain of 200 binary ops: at most 1."""
    return beside_pytorch(chain, chain, calls=5)[1]


def per_node(run: Callable, nodes: int) -> float:
    """Microseconds per node of forward and backward through a chain."""
    return min(seconds(run, 1) for _ in range(max(3, 10**5 // nodes))) / nodes * 1e6


def track_long_chain(nodes: int) -> float:
    """It should not grow with the length, but does: the collector visits every object of a live graph."""
    return per_node(step(lambda x, z: chain(x, z, nodes), "minigrad"), nodes)


def track_long_chain_uncollected(nodes: int) -> float:
    """The same without the collector."""
    before = gc.isenabled()
    gc.disable()
    try:
        return track_long_chain(nodes)
    finally:
        (gc.enable if before else gc.disable)()


def track_long_chain_of_pytorch(nodes: int) -> float:
    if torch is None:
        return float("nan")
    return per_node(step(lambda x, z: chain(x, z, nodes), "pytorch"), nodes)


def track_bare_chain(nodes: int) -> float:
    """The least that a chain of Python objects can take."""
    return per_node(lambda: bare_chain(nodes), nodes)


track_op_to_pytorch.unit = track_chain_to_pytorch.unit = "ratio"
LENGTHS = [10**3, 10**4, 10**5, 10**6]
LONG_CHAINS = [track_long_chain, track_long_chain_uncollected, track_long_chain_of_pytorch, track_bare_chain]
for track in LONG_CHAINS:
    track.params, track.unit = LENGTHS, "µs"


def in_new_process(track: Callable[[int], float], nodes: int) -> float:
    program = f"from benchmarks.overhead import {track.__name__} as track; print(track({nodes}))"
    return float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)


def main() -> None:
    found = {name: beside_pytorch(*pair) for name, pair in ops().items()}
    for name, (microseconds, ratio) in sorted(found.items(), key=lambda item: item[1][0]):
        print(f"{name:20} {microseconds:7.2f} µs {ratio:7.2f} × PyTorch")
    ours, ratios = zip(*found.values(), strict=True)
    print(f"{'median of all':20} {statistics.median(ours):7.2f} µs {statistics.median(ratios):7.2f} × PyTorch")
    microseconds, ratio = beside_pytorch(chain, chain, calls=5)
    print(f"{'chain of 200':20} {microseconds:7.2f} µs {ratio:7.2f} × PyTorch")
    table = [[in_new_process(track, nodes) for track in LONG_CHAINS] for nodes in LENGTHS]
    growth = [last / first for first, last in zip(table[0], table[-1], strict=True)]
    print("\nµs per node            minigrad   collector off   PyTorch   barest chain")
    for head, row in zip([*(f"{nodes:,} nodes" for nodes in LENGTHS), "last / first"], [*table, growth], strict=True):
        print("{:18} {:12.2f} {:15.2f} {:9.2f} {:14.2f}".format(head, *row))


if __name__ == "__main__":
    main()
