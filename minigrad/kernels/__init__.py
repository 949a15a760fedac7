"""Kernels: array functions that stand beside the NumPy lines they must equal."""

from minigrad.kernels.dispatch import choice, use

__all__ = ["choice", "use"]
