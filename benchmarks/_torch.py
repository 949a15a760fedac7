"""PyTorch, with as many threads as `benchmarks._rounds` has set; None where it is not installed."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import benchmarks._rounds  # noqa: F401 - before PyTorch: it sets the number of threads

torch: Any = None
with suppress(ImportError):
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
