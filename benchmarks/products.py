"""The matrix products of `minigrad.kernels.products`: how many times as fast as NumPy's BLAS each of them is.

`python -m benchmarks.products` prints all; each `track_` function is a benchmark of its own.
"""

from __future__ import annotations

from benchmarks._rounds import Ratio, compared, report  # before NumPy: it sets the number of threads

import numpy as np  # isort: skip

from minigrad.kernels import products

SIZES = (32, 64, 128, 256, 512, 1024)
PRODUCTS = {name: getattr(products, name) for name in ("by_definition", "by_rows", "by_panels", "by_fours")}


def beside_numpy(n: int, product: str = "by_fours", dtype: str = "float32", rounds: int = 15) -> Ratio:
    """NumPy's time over the time of `product`, for two n × n matrices."""
    a, b = np.random.default_rng(0).normal(size=(2, n, n)).astype(dtype)
    c, d = np.zeros_like(a), np.empty_like(a)
    return compared({"numpy": lambda: np.dot(a, b, out=d), "ours": lambda: PRODUCTS[product](a, b, c)}, rounds)


def track_speed_beside_numpy(n: int) -> float:
    """At least 0.6 from 128 to 512."""
    return beside_numpy(n).median


track_speed_beside_numpy.params = SIZES


def main() -> None:
    for dtype in ("float32", "float64"):
        for n in SIZES:
            bar = 0.6 if 128 <= n <= 512 and dtype == "float32" else None
            report(f"by_fours {n} {dtype}", beside_numpy(n, dtype=dtype), "x NumPy", at_least=bar)
    for product in ("by_definition", "by_rows", "by_panels"):
        report(f"{product} 256 float32", beside_numpy(256, product, rounds=5), "x NumPy")


if __name__ == "__main__":
    main()
