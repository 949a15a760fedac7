"""Recurrent layers: the papers' equations for one step, and for whole sequences an op with one kernel each way.

- `rnn(x, h, w_input, w_hidden, bias)`: hₜ = φ(xₜ·W_input + hₜ₋₁·W_hidden + b).
- `lstm(x, h, c, w_input, w_hidden, bias)`: a cell state c that gates write to, forget and read.
- `gru_gates(a, b, h)`: the gates of one step of a GRU, without slices of a weight.

A definition calls its step once for every t and names what it computes: h[t], c[t], f[t] …; a GRU's gates are r, z
and n, and a trace adds the t of their h[t]. What runs all steps at once is in `minigrad.ops.sequences`.
"""

from __future__ import annotations

from minigrad.define import fused
from minigrad.ops import sequences, steps
from minigrad.ops.elementwise import sigmoid, tanh
from minigrad.ops.linear import matmul
from minigrad.ops.sequences import check_shapes, first_state
from minigrad.ops.shaping import concatenate, stack
from minigrad.ops.steps import check_gates, gates, phi
from minigrad.tensor import Tensor

__all__ = ["gru_gates", "lstm", "rnn"]

# One step


def rnn_step(x, h, w_input, w_hidden, bias, activation="tanh"):
    """z and hₜ = φ(z) with z = xₜ·W_input + hₜ₋₁·W_hidden + b (Elman, 1990), by name."""
    z = matmul(x, w_input) + matmul(h, w_hidden) + bias
    return {"z": z, "h": phi(activation)(z)}


def lstm_step(x, h, c, w_input, w_hidden, bias):
    """Everything that one step computes, by name (Hochreiter and Schmidhuber, 1997; Gers et al., 2000).

    i, f, g, o = σ, σ, tanh, σ of the four parts z_i, z_f, z_g, z_o of z = xₜ·W_input + hₜ₋₁·W_hidden + b;
    cₜ = f·cₜ₋₁ + i·g and hₜ = o·tanh cₜ.
    """
    z = matmul(x, w_input) + matmul(h, w_hidden) + bias
    z_i, z_f, z_g, z_o = gates(z, 4)
    i, f, g, o = sigmoid(z_i), sigmoid(z_f), tanh(z_g), sigmoid(z_o)
    c = f * c + i * g
    tanh_c = tanh(c)
    parts = {"z_i": z_i, "z_f": z_f, "z_g": z_g, "z_o": z_o, "tanh_c": tanh_c}
    return {"z": z, "i": i, "f": f, "g": g, "o": o, "c": c, "h": o * tanh_c} | parts


def gru_step(x, h, w_input, w_hidden, bias):
    """hₜ, with the reset gate applied after the product with W_hidden (Cho et al., 2014): see `gru_gates`."""
    return gru_gates(matmul(x, w_input) + bias, matmul(h, w_hidden), h)


def gru_gates_definition(a, b, h):
    check_gates(a, b, h)
    a_r, a_z, a_n = gates(a, 3)
    b_r, b_z, b_n = gates(b, 3)
    r, z = sigmoid(a_r + b_r), sigmoid(a_z + b_z)
    n = tanh(a_n + r * b_n)
    named({"a_r": a_r, "a_z": a_z, "a_n": a_n, "b_r": b_r, "b_z": b_z, "b_n": b_n, "r": r, "z": z, "n": n})
    return (1 - z) * n + z * h


# All steps


def rnn_definition(x, h, w_input, w_hidden, bias, activation="tanh"):
    check_shapes("rnn", 1, x, w_input, w_hidden, bias, h=h)
    h, states = first_state(h, x, w_hidden), []
    for t in range(x.shape[1]):
        step = named(rnn_step(x[:, t], h, w_input, w_hidden, bias, activation), t)
        h = step["h"]
        states.append(h)
    return stack(states, axis=1)


def lstm_definition(x, h, c, w_input, w_hidden, bias):
    check_shapes("lstm", 4, x, w_input, w_hidden, bias, h=h, c=c)
    h, c, states = first_state(h, x, w_hidden), first_state(c, x, w_hidden), []
    for t in range(x.shape[1]):
        step = named(lstm_step(x[:, t], h, c, w_input, w_hidden, bias), t)
        h, c = step["h"], step["c"]
        states.append(concatenate([h, c], axis=-1))
    return stack(states, axis=1)


def named(step, t=None):
    """The parts of step t, each given its name for traces: h[0], c[0] …; without t: a_r, b_r, r …."""
    for name, part in step.items():
        if isinstance(part, Tensor):
            part.name = name if t is None else f"{name}[{t}]"
    return step


# With a kernel each way

weight_formulas = ["Σ xₜᵀ·g over time", "Σ hₜ₋₁ᵀ·g over time", "Σ g over batch and time"]
rnn = fused(
    "rnn",
    sequences.rnn_forward,
    sequences.rnn_backward,
    rnn_definition,
    formulas=["g·W_inputᵀ", "g·W_hiddenᵀ", *weight_formulas],
    doc="""A layer of simple recurrent units (Elman, 1990): hₜ = φ(xₜ·W_input + hₜ₋₁·W_hidden + b).

    Parameters
    ----------
    x : (batch, time, inputs)
    h : (batch, hidden), or None for zeros
        The state before the first step.
    w_input : (inputs, hidden)
    w_hidden : (hidden, hidden)
    bias : (hidden,)
    activation : str
        φ by name.

    Returns
    -------
    (batch, time, hidden)
        The state after every step.
    """,
)
lstm = fused(
    "lstm",
    sequences.lstm_forward,
    sequences.lstm_backward,
    lstm_definition,
    formulas=["g·W_inputᵀ", "g·W_hiddenᵀ", "g·f", *weight_formulas],
    doc="""A layer of long short-term memory; `minigrad.ops.recurrent.lstm_step` has the equations.

    Parameters
    ----------
    x : (batch, time, inputs)
    h, c : (batch, hidden), or None for zeros
        Output and cell state before the first step.
    w_input : (inputs, 4·hidden)
    w_hidden : (hidden, 4·hidden)
    bias : (4·hidden,)
        All three hold the gates in the order i, f, g, o.

    Returns
    -------
    (batch, time, 2·hidden)
        [hₜ, cₜ] after every step, side by side: an op has one output.
    """,
)
gru_gates = fused(
    "gru_gates",
    steps.gru_gates_forward,
    steps.gru_gates_backward,
    gru_gates_definition,
    kind="activation",
    formulas=["g·∂h′/∂a", "g·∂h′/∂b", "g·z"],
    doc="""The gates of one step of a gated recurrent unit (Cho et al., 2014).

    r = σ(a_r + b_r), z = σ(a_z + b_z), n = tanh(a_n + r·b_n), hₜ = (1 − z)·n + z·hₜ₋₁

    Parameters
    ----------
    a, b : (batch, 3·hidden)
        xₜ·W_input + bias and hₜ₋₁·W_hidden, in the order r, z, n.
    h : (batch, hidden)
        hₜ₋₁; the op returns hₜ.
    """,
)
