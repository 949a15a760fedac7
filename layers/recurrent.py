"""Recurrent layers: one set of weights, used at every step of a sequence (batch, time, features).

- `RNNCell`, `LSTMCell`, `GRUCell`: one step, for a loop over time of your own.
- `RNN`, `LSTM`, `GRU`: whole sequences, in one or several layers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
from layers import checks
from layers.init import Rng, orthogonal, xavier_uniform
from layers.module import Module, Parameter
from layers.scope import joined, run
from minigrad import settings
from minigrad.op import operand
from minigrad.ops.affine import activations
from minigrad.ops.recurrent import gru_step, lstm_step, rnn_step


def pair(name: str, state: Any) -> Any:
    """`state`, if it is a pair (h, c)."""
    if not (isinstance(state, (tuple, list)) and len(state) == 2):
        raise TypeError(f"{name}: the state must be a pair (h, c), not {type(state).__name__}")
    return state


class Cell(Module):
    """Base of the cells: the weights of one recurrent layer.

    Each gate's part of w_input starts as `xavier_uniform`, each gate's part of w_hidden `orthogonal`, the bias at 0.

    Attributes
    ----------
    w_input : Parameter, (inputs, gates·hidden)
    w_hidden : Parameter, (hidden, gates·hidden)
    bias : Parameter, (gates·hidden,)
    """

    gates = 1
    states: tuple[str, ...] = ("h",)  # what a step passes to the next, each (batch, hidden)

    def __init__(self, inputs: int, hidden: int, rng: Rng = None) -> None:
        self.inputs = checks.size(type(self).__name__, "inputs", inputs)
        self.hidden = checks.size(type(self).__name__, "hidden", hidden)
        rng, dtype = settings.generator(rng), mg.default_dtype()
        w_input = [xavier_uniform((inputs, hidden), rng) for _ in range(self.gates)]
        w_hidden = [orthogonal((hidden, hidden), rng) for _ in range(self.gates)]
        self.w_input = Parameter(np.concatenate(w_input, axis=1).astype(dtype))
        self.w_hidden = Parameter(np.concatenate(w_hidden, axis=1).astype(dtype))
        self.bias = Parameter(np.zeros(self.gates * hidden, dtype))

    def weights(self) -> tuple[Parameter, Parameter, Parameter]:
        return self.w_input, self.w_hidden, self.bias

    def sequence(self, x: Any, *states: Any) -> tuple[Any, tuple]:
        """h after every step of x (batch, time, inputs), and the states after the last step."""
        raise NotImplementedError

    def checked(self, x: Any, *states: Any) -> list:
        """x and the states before a step, with zeros in place of None; ValueError for a wrong shape."""
        name, x = type(self).__name__, operand(x)
        if len(x.shape) != 2 or x.shape[1] != self.inputs:
            raise ValueError(f"{name}: x must be (batch, {self.inputs}), not {x.shape}")
        shape = x.shape[0], self.hidden
        given = [np.zeros(shape, x.dtype) if h is None else operand(h) for h in states]
        for part, h in zip(self.states, given, strict=True):
            if h.shape != shape:
                raise ValueError(f"{name}: state {part} must be {shape} for x {x.shape}, not {h.shape}")
        return [x, *given]


class RNNCell(Cell):
    """hₜ = φ(xₜ·W_input + hₜ₋₁·W_hidden + b) (Elman, 1990).

    `cell(x, h)` → h, with x (batch, inputs) and h (batch, hidden), or None for zeros.

    >>> import numpy as np
    >>> from layers import RNNCell
    >>> cell, h = RNNCell(3, 4), None
    >>> for x in np.ones((5, 2, 3)):
    ...     h = cell(x, h)
    >>> h.shape
    (2, 4)
    """

    def __init__(self, inputs: int, hidden: int, activation: str = "tanh", rng: Rng = None) -> None:
        super().__init__(inputs, hidden, rng)
        self.activation = checks.one_of(type(self).__name__, "activation", activation, activations)

    def forward(self, x: Any, h: Any = None) -> Any:
        x, h = self.checked(x, h)
        return rnn_step(x, h, *self.weights(), activation=self.activation)["h"]

    def sequence(self, x: Any, *states: Any) -> tuple[Any, tuple]:
        y = mg.rnn(x, *states, *self.weights(), activation=self.activation)
        return y, (y[:, -1],)


class LSTMCell(Cell):
    """i, f, g, o = σ, σ, tanh, σ of the parts of xₜ·W_input + hₜ₋₁·W_hidden + b; cₜ = f·cₜ₋₁ + i·g; hₜ = o·tanh cₜ.

    `cell(x, (h, c))` → (h, c), each (batch, hidden), or None for zeros (Hochreiter and Schmidhuber, 1997). The
    part of b for the forget gate f starts at `forget_bias`, so that an untrained cell forgets little
    (Gers et al., 2000; Jozefowicz et al., 2015).
    """

    gates = 4
    states = ("h", "c")

    def __init__(self, inputs: int, hidden: int, forget_bias: float = 1.0, rng: Rng = None) -> None:
        super().__init__(inputs, hidden, rng)
        forget_bias = checks.number(type(self).__name__, "forget_bias", forget_bias)
        self.bias.data[hidden : 2 * hidden] = forget_bias

    def forward(self, x: Any, state: tuple | None = None) -> tuple[Any, Any]:
        h, c = (None, None) if state is None else pair(type(self).__name__, state)
        x, h, c = self.checked(x, h, c)
        step = lstm_step(x, h, c, *self.weights())
        return step["h"], step["c"]

    def sequence(self, x: Any, *states: Any) -> tuple[Any, tuple]:
        y = mg.lstm(x, *states, *self.weights())
        return y[..., : self.hidden], (y[:, -1, : self.hidden], y[:, -1, self.hidden :])


class GRUCell(Cell):
    """r, z = σ(a_r + b_r), σ(a_z + b_z); n = tanh(a_n + r·b_n); hₜ = (1 − z)·n + z·hₜ₋₁ (Cho et al., 2014).

    a = xₜ·W_input + bias and b = hₜ₋₁·W_hidden, each in three parts; the reset gate r acts after the product with
    W_hidden. `cell(x, h)` → h, with x (batch, inputs) and h (batch, hidden), or None for zeros.
    """

    gates = 3

    def forward(self, x: Any, h: Any = None) -> Any:
        x, h = self.checked(x, h)
        return gru_step(x, h, *self.weights())

    def sequence(self, x: Any, *states: Any) -> tuple[Any, tuple]:
        _, h = self.checked(x[:, 0], *states)
        outputs = []
        for t in range(x.shape[1]):
            h = gru_step(x[:, t], h, *self.weights())
            h.name = f"h[{t}]"
            outputs.append(h)
        return mg.stack(outputs, axis=1), (h,)


class Recurrent(Module):
    """Base of RNN, LSTM and GRU: one cell per layer in `layers`; each reads the whole output sequence of the previous.

    `layer(x)` → output; `layer(x, state)` → (output, state). x is (batch, time, inputs). The output is the last
    h, (batch, hidden), or with `return_sequence` every h, (batch, time, hidden). The state is (layers, batch, hidden),
    for an LSTM a pair (h, c) of this shape; the argument is the state before the first step, the result after the last.
    Truncated backpropagation passes `h.detach()` on to the next piece of a sequence (for an LSTM, of both).
    """

    def __init__(
        self, cell: type[Cell], inputs: int, hidden: int, layers: int, return_sequence: bool, rng: Rng, **options: Any
    ) -> None:
        layers, rng = checks.size(type(self).__name__, "layers", layers), settings.generator(rng)
        self.layers = [cell(hidden if i else inputs, hidden, rng=rng, **options) for i in range(layers)]
        self.return_sequence = return_sequence

    def forward(self, x: Any, state: Any = None) -> Any:
        x, scope = operand(x), settings.state.scope
        before, after = self.states_before(x, state), []
        for i, cell in enumerate(self.layers):
            path = scope if len(self.layers) == 1 else joined(scope, f"layers.{i}")  # a single one is the module
            x, last = run(cell, path, cell.sequence, (x, *before[i]), {})
            after.append(last)
        y = x if self.return_sequence else last[0]
        if state is None:
            return y
        stacked = [mg.stack(parts) for parts in zip(*after, strict=True)]
        return y, tuple(stacked) if len(stacked) > 1 else stacked[0]

    def states_before(self, x: Any, state: Any) -> list[tuple]:
        """For each layer its initial states; ValueError if x or the state has a wrong shape."""
        name, cell = type(self).__name__, self.layers[0]
        if len(x.shape) != 3 or x.shape[1] == 0 or x.shape[2] != cell.inputs:
            raise ValueError(f"{name}: x must be (batch, time, {cell.inputs}), not {x.shape}")
        if state is None:
            return [(None,) * len(cell.states)] * len(self.layers)
        states = [operand(part) for part in ([state] if len(cell.states) == 1 else pair(name, state))]
        shape = (len(self.layers), x.shape[0], cell.hidden)
        for part, value in zip(cell.states, states, strict=True):
            if value.shape != shape:
                raise ValueError(f"{name}: state {part} must be {shape} for x {x.shape}, not {value.shape}")
        return [tuple(value[i] for value in states) for i in range(len(self.layers))]


class RNN(Recurrent):
    """Layers of `RNNCell`: `layer(x)` → output, `layer(x, h)` → output, h; see `layers.recurrent.Recurrent`.

    Parameters
    ----------
    inputs, hidden : int
    activation : str
        φ by name.
    layers : int
    return_sequence : bool
        Whether the output is h at every step, instead of the last one.
    rng : numpy Generator or int, optional

    Examples
    --------
    >>> import numpy as np
    >>> from layers import RNN
    >>> layer = RNN(3, 5, layers=2)
    >>> y, state = layer(np.ones((4, 7, 3)), np.zeros((2, 4, 5)))
    >>> y.shape, state.shape
    ((4, 5), (2, 4, 5))
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        activation: str = "tanh",
        layers: int = 1,
        return_sequence: bool = False,
        rng: Rng = None,
    ) -> None:
        super().__init__(RNNCell, inputs, hidden, layers, return_sequence, rng, activation=activation)


class LSTM(Recurrent):
    """Layers of `LSTMCell`: `layer(x)` → output, `layer(x, (h, c))` → output, (h, c); see `layers.recurrent.Recurrent`.

    Parameters
    ----------
    inputs, hidden, layers, return_sequence, rng
        As for `RNN`.
    forget_bias : float
        First value of the bias of the forget gates.

    Examples
    --------
    >>> import numpy as np
    >>> from layers import LSTM
    >>> layer = LSTM(3, 5, return_sequence=True)
    >>> layer(np.ones((4, 7, 3))).shape
    (4, 7, 5)
    >>> [(name, weight.shape) for name, weight in layer.named_parameters()]
    [('layers.0.w_input', (3, 20)), ('layers.0.w_hidden', (5, 20)), ('layers.0.bias', (20,))]
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        layers: int = 1,
        forget_bias: float = 1.0,
        return_sequence: bool = False,
        rng: Rng = None,
    ) -> None:
        super().__init__(LSTMCell, inputs, hidden, layers, return_sequence, rng, forget_bias=forget_bias)


class GRU(Recurrent):
    """Layers of `GRUCell`: `layer(x)` → output, `layer(x, h)` → output, h; see `layers.recurrent.Recurrent`.

    Parameters
    ----------
    inputs, hidden, layers, return_sequence, rng
        As for `RNN`.

    Examples
    --------
    >>> import numpy as np
    >>> from layers import GRU
    >>> GRU(3, 5)(np.ones((4, 7, 3))).shape
    (4, 5)
    """

    def __init__(
        self, inputs: int, hidden: int, layers: int = 1, return_sequence: bool = False, rng: Rng = None
    ) -> None:
        super().__init__(GRUCell, inputs, hidden, layers, return_sequence, rng)
