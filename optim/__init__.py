"""Optimizers: what to do with a gradient once it is there.

>>> import minigrad as mg
>>> from optim import Adam, clip_by_global_norm
>>> w = mg.tensor([3.0, 4.0], requires_grad=True)
>>> optimizer = Adam([w], lr=0.1)
>>> (w * w).sum().backward()
>>> clip_by_global_norm([w], limit=1.0)
10.0
>>> optimizer.step()
"""

from optim.adaptive import Adam
from optim.clip import clip_by_global_norm
from optim.optimizer import Optimizer
from optim.sgd import SGD

__all__ = ["SGD", "Adam", "Optimizer", "clip_by_global_norm"]
