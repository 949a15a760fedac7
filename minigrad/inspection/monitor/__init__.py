"""Watching a training run: a room of its own, which nothing else needs."""

from minigrad.inspection.monitor.monitor import GradientMonitor

__all__ = ["GradientMonitor"]
