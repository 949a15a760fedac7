"""A fused op: one kernel each way, and the same computation in primitive ops beside it.

The kernels train fast. The definition is what they are tested against, what is differentiated for higher
derivatives, and what a trace shows in their place.
"""

from __future__ import annotations

from minigrad.errors import reason
from minigrad.graph import GraphError, order, walk
from minigrad.op import Op, identity
from minigrad.signatures import arguments
from minigrad.tensor import Tensor, pull_tensors


class Fused(Op):
    """Several primitive ops as one kernel each way; `definition` is the same computation, op by op."""

    def __init__(self, name, forward, backward, definition, formulas, kind, doc, fresh):
        names, defaults = arguments(definition, None)
        no_rules = [None] * (len(names) - len(defaults))  # `backward` answers for all inputs at once
        super().__init__(name, forward, no_rules, formulas, kind, doc=doc)
        self.names, self.defaults, self.inputs_only = names, defaults, self.arity
        self.backward = backward
        self.definition = definition
        self.fresh = fresh

    def pull(self, node, g, y, xs):
        if isinstance(g, Tensor):
            return self.pull_definition(node, g, xs)
        contributions = []
        try:
            products = self.backward(g, y, node.saved, *xs, **node.params)
            if not isinstance(products, (tuple, list)):
                raise TypeError(f"it returns a tuple with one gradient per input, not {type(products).__name__}")
            if len(products) != len(xs):
                raise GraphError(f"{self.name}: backward returned {len(products)} gradients for {len(xs)} inputs")
            for source, x, product in zip(node.inputs, xs, products, strict=True):
                if source is None or not source._requires_grad:
                    product = None
                else:
                    product = product() if callable(product) else product  # a matrix product waits until it is needed
                    product = self.fitted(product, len(contributions), x, x.shape)
                contributions.append(product)
        except (TypeError, ValueError, IndexError, AttributeError, ZeroDivisionError) as error:
            raise GraphError(f"{self.name}: its backward failed: {reason(error)}") from error
        return contributions

    def contribution(self, node, i, g, y, xs):
        return self.pull(node, g, y, xs)[i]

    def pull_definition(self, node, g, xs):
        """The contributions as Tensors: run the definition on copies of the inputs and walk back through it."""
        # Without copies this walk would go on from x₂ = f(x₁) to x₁, where the outer walk arrives as well.
        copies = [identity(x) if isinstance(x, Tensor) else x for x in xs]
        y = self.definition(*copies, **node.params)
        if getattr(y, "node", None) is None:
            raise GraphError(f"{self.name}: its definition makes no Tensor out of the inputs that require gradients")
        ends = [x.node for x in copies if isinstance(x, Tensor)]
        gradients = walk(order(y.node, until=ends), {y.node: g}, pull_tensors)
        return [gradients.get(x.node) if isinstance(x, Tensor) else None for x in copies]
