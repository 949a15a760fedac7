"""What an op costs beside its arithmetic: forward and backward on ten elements.

`python -m benchmarks.overhead` prints all, beside PyTorch if it is installed; each `track_` function is a benchmark of
its own. Both take turns on one thread, with Python's garbage collector on. How the cost per node grows with the length
of a graph is also measured with the collector off, since full collections visit every object of a live graph; and for
the barest chain that Python can hold, whose cost grows by a larger factor.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

import minigrad as mg

torch = None
with suppress(ImportError):
    import torch

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
    torch.set_num_threads(1)
    theirs = step(theirs, "pytorch")
    pairs = [(seconds(ours, calls), seconds(theirs, calls)) for _ in range(rounds)]
    return min(a for a, _ in pairs) * 1e6, statistics.median(a / b for a, b in pairs)


def track_op_to_pytorch() -> float:
    """The median over the ops: at most 1."""
    return statistics.median(beside_pytorch(*pair)[1] for pair in ops().values())


def track_chain_to_pytorch() -> float:
    """A chain of 200 binary ops: at most 1."""
    return beside_pytorch(chain, chain, calls=5)[1]


def track_microseconds_per_node(nodes: int) -> float:
    """Forward and backward of a chain, per node, with the collector off: it must not grow with the length."""
    run = step(lambda x, z: chain(x, z, nodes), "minigrad")
    before = gc.isenabled()
    gc.disable()
    try:
        return min(seconds(run, 1) for _ in range(max(2, 100_000 // nodes))) / nodes * 1e6
    finally:
        (gc.enable if before else gc.disable)()


def track_long_chain_to_pytorch(nodes: int) -> float:
    """The same with the collector on, over the time of PyTorch, whose cost per node also grows with the length."""
    return long_chain(nodes)[1]


def track_bare_chain(nodes: int) -> float:
    """Microseconds per node of the barest chain in Python, with the collector on."""
    return min(seconds(lambda: bare_chain(nodes), 1) for _ in range(max(3, 10**5 // nodes))) / nodes * 1e6


def long_chain(nodes: int) -> tuple[float, float]:
    microseconds, ratio = beside_pytorch(*[lambda x, z: chain(x, z, nodes)] * 2, calls=1, rounds=max(3, 10**5 // nodes))
    return microseconds / nodes, ratio


track_op_to_pytorch.unit = track_chain_to_pytorch.unit = track_long_chain_to_pytorch.unit = "ratio"
track_microseconds_per_node.unit = track_bare_chain.unit = "µs"
LENGTHS = [10**3, 10**4, 10**5, 10**6]
track_microseconds_per_node.params = track_long_chain_to_pytorch.params = track_bare_chain.params = LENGTHS


def main() -> None:
    found = {name: beside_pytorch(*pair) for name, pair in ops().items()}
    for name, (microseconds, ratio) in sorted(found.items(), key=lambda item: item[1][0]):
        print(f"{name:20} {microseconds:7.2f} µs {ratio:7.2f} × PyTorch")
    ours, ratios = zip(*found.values(), strict=True)
    print(f"{'median of all':20} {statistics.median(ours):7.2f} µs {statistics.median(ratios):7.2f} × PyTorch")
    microseconds, ratio = beside_pytorch(chain, chain, calls=5)
    print(f"{'chain of 200':20} {microseconds:7.2f} µs {ratio:7.2f} × PyTorch")
    for nodes in LENGTHS:
        microseconds, ratio = long_chain(nodes)
        others = f"{track_microseconds_per_node(nodes):.2f} µs uncollected, bare {track_bare_chain(nodes):.2f} µs"
        print(f"{f'chain of {nodes:,}':20} {microseconds:7.2f} µs {ratio:7.2f} × PyTorch, {others}")


if __name__ == "__main__":
    main()
