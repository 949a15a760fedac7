"""Watch a training run: a removable room, which nothing else needs."""

from minigrad.inspection.monitor.monitor import GradientMonitor

__all__ = ["GradientMonitor"]
