"""A removable room: pictures of what an inspection shows. A sentence below each says how to read it.

>>> import minigrad as mg
>>> from minigrad.inspection import draw
>>> x = mg.tensor([0.5, 2.0], requires_grad=True, name="x")
>>> trace = mg.trace(mg.sum(mg.tanh(mg.tanh(x))))
>>> figure = draw.flow(trace, to=x)

The figures are matplotlib's, without pyplot: `figure.savefig("flow.png")`, or `draw.flow(trace, path="flow.png")`.
"""

from minigrad.inspection.draw.distributions import lens, ridge, spectrum
from minigrad.inspection.draw.graph import draw_graph, to_dot
from minigrad.inspection.draw.matrices import lag_matrix, through_time, unit_map
from minigrad.inspection.draw.plots import (
    before_after,
    dashboard,
    flow,
    path_lengths,
    plot_chain,
    update_ratios,
)  # fmt: skip
from minigrad.inspection.draw.svg import to_svg

__all__ = [
    "before_after", "dashboard", "draw_graph", "flow", "lag_matrix", "lens", "path_lengths", "plot_chain", "ridge",
    "spectrum", "through_time", "to_dot", "to_svg", "unit_map", "update_ratios",
]  # fmt: skip
