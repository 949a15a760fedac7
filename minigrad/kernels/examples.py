"""Arguments to compile and to time every kernel with; the first array of each call has about n elements.

`EXAMPLES[name](draw, n)` is a list of calls; `draw(*shape)` gives an array of random numbers in the dtype asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigrad.kernels.dispatch import twins

NUMBERS = {"leaky_relu": {"slope": 0.01}, "elu": {"alpha": 1.0}}  # what they take beside an array
UPDATES: dict[str, list[dict[str, Any]]] = {
    "sgd": [
        {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0},
        {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0},
    ],
    "adagrad": [{"eps": 1e-8}],
    "rmsprop": [{"decay": 0.99, "eps": 1e-8}],
    "adam": [{"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}],
    "adamw": [{"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}],
}
COLUMNS = 64


def call(*arguments: Any, **parameters: Any) -> tuple[tuple, dict]:
    return arguments, parameters


def elementwise(**parameters: float) -> Callable:
    return lambda draw, n: [call(draw(n), **parameters)]


def contribution(name: str, **parameters: float) -> Callable:
    def calls(draw, n):
        g, x = draw(n), draw(n)
        return [call(g, twins[name].line(x, **parameters), x, **parameters)]

    return calls


def update(settings: list[dict]) -> Callable:
    return lambda draw, n: [call(draw(n), draw(n), {"steps": 1}, 0.5, None, None, 0.01, **some) for some in settings]


def matrix(draw, n, columns=COLUMNS):
    return draw(max(2, n // columns), columns)


def bias_activation(draw, n):
    return [call(matrix(draw, n), draw(COLUMNS), name) for name in ("tanh", "relu", "sigmoid", "softsign")]


def bias_activation_backward(draw, n):
    calls = bias_activation(draw, n)
    return [call(matrix(draw, n), *twins["bias_activation"].line(*given), *given[1:]) for given, _ in calls]


def labels(draw, rows):
    return (draw(rows) > 0).astype(int)


def row_losses(draw, n):
    logits = matrix(draw, n, 10)
    return [call(logits, labels(draw, len(logits)))]


def row_losses_backward(draw, n):
    (logits, classes), _ = row_losses(draw, n)[0]
    losses, p = twins["row_losses"].line(logits, classes)
    return [call(p, losses, classes)]


def normalise(draw, n):
    return [call(matrix(draw, n), draw(COLUMNS), draw(COLUMNS), 1e-5)]


def normalise_backward(draw, n):
    x = matrix(draw, n)
    _, mean, scale = twins["normalise"].line(x, draw(COLUMNS), draw(COLUMNS), 1e-5)
    return [call(matrix(draw, n), x, draw(COLUMNS), mean, scale)]


def tanh_step(draw, n):
    z = matrix(draw, n)
    return [call(z, 0 * z, z.copy())]


def tanh_step_back(draw, n):
    z = matrix(draw, n)
    return [call(draw(len(z), 1, COLUMNS), 0, z, z.copy(), z.copy(), z.copy())]


def lstm_step(draw, n):
    z, state = matrix(draw, n), draw(max(2, n // COLUMNS), COLUMNS // 2)
    return [call(z, 0 * z, state, state.copy(), state[:, ::2].copy())]


def lstm_step_back(draw, n):
    (z, _, state, _, c), _ = lstm_step(draw, n)[0]
    return [call(draw(len(z), 1, COLUMNS // 2), 0, z, state, c, c.copy(), c.copy(), z.copy())]


def gru(draw, n):
    a = draw(max(2, n // 96), 96)
    return [call(a, draw(*a.shape), draw(len(a), 32))]


def gru_back(draw, n):
    given, _ = gru(draw, n)[0]
    return [call(draw(*given[2].shape), twins["gru"].line(*given)[1], *given)]


def sequence(draw, n, gates, states):
    """z, w and states of a recurrence, for four samples."""
    time, hidden = 16, max(2, n // (64 * gates))
    return draw(time, 4, gates * hidden), 0.1 * draw(hidden, gates * hidden), draw(time + 1, 4, states * hidden)


def tanh_steps(draw, n):
    return [call(*sequence(draw, n, 1, 1))]


def tanh_steps_back(draw, n):
    z, w, states = sequence(draw, n, 1, 1)
    return [call(z, w, draw(4, len(z), len(w)), states)]


def lstm_steps(draw, n):
    z, w, states = sequence(draw, n, 4, 2)
    return [call(z, w, states, draw(len(z), 4, len(w)))]


def lstm_steps_back(draw, n):
    (z, w, states, tanh_c), _ = lstm_steps(draw, n)[0]
    return [call(z / 4, w, draw(4, len(z), 2 * len(w)), states, tanh_c / 4)]


def matmul(draw, n):
    side = max(2, round(n**0.5))
    return [call(draw(side, side), draw(side, side))]


NAMED = [  # as their kernels are
    bias_activation, bias_activation_backward, row_losses, row_losses_backward, normalise, normalise_backward,
    tanh_step, tanh_step_back, lstm_step, lstm_step_back, tanh_steps, tanh_steps_back, lstm_steps, lstm_steps_back,
    gru, gru_back, matmul,
]  # fmt: skip
EXAMPLES: dict[str, Callable] = {calls.__name__: calls for calls in NAMED} | {
    "running_moments": lambda draw, n: [call(matrix(draw, n), draw(COLUMNS), abs(draw(COLUMNS)), 0.1)],
    "sum_of_squares": elementwise(),
    "squares_and_zeros": elementwise(),
    "beyond": lambda draw, n: [call(draw(n), 0.5, 0.4)],
    "active": lambda draw, n: [call(matrix(draw, n))],
    "count_octaves": lambda draw, n: [call(draw(n), -40, 20, first, 256 * k, 256) for first, k in ((0, 1), (256, 3))],
}
for name, kernel in twins.items():
    if kernel.home == "activations":
        activation = name.removesuffix("_backward")
        parameters = NUMBERS.get(activation, {})
        EXAMPLES[name] = elementwise(**parameters) if name == activation else contribution(activation, **parameters)
EXAMPLES |= {name: update(settings) for name, settings in UPDATES.items()}
