"""Make reference.npz with PyTorch: values, gradients and second derivatives of every case, in float64.

    python tests/reference/make_reference.py            # write the file
    python tests/reference/make_reference.py --check    # compute everything again and compare with the file

It needs PyTorch and `cases.py`, but nothing of minigrad, and says how each case is written in PyTorch.
"""

import argparse
import math
import zlib
from pathlib import Path
from types import SimpleNamespace

import cases
import numpy as np
import torch
import torch.nn.functional as F
from torch.optim import lr_scheduler

FILE = Path(__file__).with_name("reference.npz")


# Inputs


def generator(name):
    """Random numbers that depend on the name of a case alone: a new case changes no other."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def drawn(value, rng):
    """The array of an input."""
    if isinstance(value, cases.Draw):
        numbers = rng.uniform(value.low, value.high, value.shape)
        return np.array(np.round(numbers * 4096) / 4096)  # few bits: the file stays small
    return np.array(value)


def tensor(array):
    """An array as a tensor, which requires a gradient if it holds floats; a number as one that does not."""
    if array is None:
        return None
    floats = isinstance(array, np.ndarray) and array.dtype == np.float64
    return torch.tensor(
        array, dtype=torch.float64 if isinstance(array, float) or floats else None, requires_grad=floats
    )


# Ops


def over(axis, x):
    """An axis as a tuple; None is all of them."""
    return tuple(range(x.ndim)) if axis is None else axis


def reduction(function):
    return lambda x, axis=None, keepdims=False: function(x, dim=over(axis, x), keepdim=keepdims)


def spread(function):
    return lambda x, axis=None, keepdims=False, ddof=0: function(
        x, dim=over(axis, x), correction=ddof, keepdim=keepdims
    )


def prod(x, axis=None, keepdims=False):
    """torch.prod takes one axis: one after the other."""
    axes = [i % x.ndim for i in np.atleast_1d(over(axis, x)).astype(int)]
    for i in sorted(axes, reverse=True):
        x = torch.prod(x, dim=i, keepdim=keepdims)
    return x


def cumsum(x, axis=None):
    return torch.cumsum(x.ravel(), 0) if axis is None else torch.cumsum(x, axis)


def pad(x, pad_width, mode="constant", constant_values=0):
    """F.pad takes the last axis first; modes other than constant pad only the last axis of a batch."""
    widths = np.broadcast_to(pad_width, (x.ndim, 2)).tolist()
    if mode == "constant":
        return F.pad(x, np.ravel(widths[::-1]).tolist(), value=constant_values)
    modes = {"edge": "replicate", "reflect": "reflect", "wrap": "circular"}
    for axis, width in enumerate(widths):
        x = F.pad(x.movedim(axis, -1)[None], width, mode=modes[mode])[0].movedim(-1, axis)
    return x


def roll(x, shift, axis=None):
    return torch.roll(x, shift, axis)


def diagonal(x, offset=0, axis1=0, axis2=1):
    return torch.diagonal(x, offset, axis1, axis2)


def dot(a, b):
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return torch.tensordot(a, b, ([-1], [-2 if b.ndim > 1 else 0]))


def concatenate(*xs, axis=0):
    return torch.cat([x.ravel() for x in xs]) if axis is None else torch.cat(xs, axis)


def getitem(x, index):
    parts = index if isinstance(index, tuple) else (index,)
    return x[tuple(torch.tensor(part) if isinstance(part, (list, np.ndarray)) else part for part in parts)]


def cross_entropy(logits, labels, reduction="mean"):
    """PyTorch wants classes on axis 1."""
    target = labels if labels.ndim < logits.ndim or logits.ndim == 1 else labels.movedim(-1, min(1, labels.ndim - 1))
    return F.cross_entropy(logits.movedim(-1, min(1, logits.ndim - 1)), target, reduction=reduction)


def hinge(y, t, reduction="mean"):
    """PyTorch has no such loss: written out."""
    losses = torch.relu(1 - t * y)
    return {"mean": losses.mean, "sum": losses.sum, "none": losses.clone}[reduction]()


def dense(x, w, b, activation=None):
    """F.linear, whose weight is (outputs, inputs)."""
    z = F.linear(x, w.T, b)
    return z if activation is None else ACTIVATIONS[activation](z)


def batch_norm(x, gamma, beta, eps=1e-5):
    return F.batch_norm(x, None, None, gamma, beta, training=True, eps=eps)


def leaky_relu(x, slope=0.01):
    return F.leaky_relu(x, slope)


ACTIVATIONS = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": F.relu,
    "leaky_relu": leaky_relu,
    "elu": F.elu,
    "softplus": lambda x: F.softplus(x, threshold=100),  # above the threshold, by default 20, it is x
    "silu": F.silu,
    "gelu": F.gelu,
    "softsign": F.softsign,
    "hard_tanh": F.hardtanh,
}

# Recurrent layers. Weights are (outputs, inputs) in PyTorch, hence transposed; the second of its two biases is 0.
# The order of the gates is the same, i, f, g, o and r, z, n; both GRUs apply r after the matrix product.

LOOPS = {"LSTM": torch.lstm, "GRU": torch.gru, "RNN": torch.rnn_tanh, "RNN relu": torch.rnn_relu}
CELLS = {"LSTM": torch.lstm_cell, "GRU": torch.gru_cell, "RNN": torch.rnn_tanh_cell, "RNN relu": torch.rnn_relu_cell}


def weights(w_input, w_hidden, bias):
    return [w_input.T, w_hidden.T, bias, torch.zeros_like(bias)]


def sequence(kind, x, states, parameters):
    """All hidden states, and the last ones of each layer; states are (layers, batch, hidden)."""
    flat = [w for i in range(0, len(parameters), 3) for w in weights(*parameters[i : i + 3])]
    state = tuple(states) if kind == "LSTM" else states[0]
    return LOOPS[kind](x, state, flat, True, len(flat) // 4, 0.0, False, False, True)


def zeros(x, w_hidden, layers=1):
    return torch.zeros(layers, len(x), len(w_hidden), dtype=x.dtype)


def rnn(x, h, *parameters, activation="tanh"):
    h = zeros(x, parameters[1]) if h is None else h[None]
    return sequence("RNN relu" if activation == "relu" else "RNN", x, [h], parameters)[0]


def lstm(x, h, c, *parameters):
    """h and c of every step, which PyTorch's cell gives."""
    h, c = (zeros(x, parameters[1])[0] if state is None else state for state in (h, c))
    states = []
    for x_t in x.unbind(1):
        h, c = torch.lstm_cell(x_t, (h, c), *weights(*parameters))
        states.append(torch.cat([h, c], -1))
    return torch.stack(states, 1)


OPS = {
    **ACTIVATIONS,
    "sum": reduction(torch.sum),
    "mean": reduction(torch.mean),
    "max": reduction(torch.amax),
    "min": reduction(torch.amin),
    "logsumexp": reduction(torch.logsumexp),
    "norm": reduction(torch.linalg.vector_norm),
    "var": spread(torch.var),
    "std": spread(torch.std),
    "prod": prod,
    "cumsum": cumsum,
    "power": torch.pow,
    "clip": torch.clip,
    "softmax": lambda x, axis=-1: torch.softmax(x, axis),
    "log_softmax": lambda x, axis=-1: torch.log_softmax(x, axis),
    "expand_dims": lambda x, axis: torch.unsqueeze(x, axis),
    "squeeze": lambda x, axis=None: torch.squeeze(x) if axis is None else torch.squeeze(x, axis),
    "transpose": lambda x, axes=None: torch.permute(x, axes or tuple(range(x.ndim))[::-1]),
    "swapaxes": lambda x, axis1, axis2: torch.swapaxes(x, axis1, axis2),
    "broadcast_to": lambda x, shape: torch.broadcast_to(x, shape),
    "flip": lambda x, axis=None: torch.flip(x, over(axis, x)),
    "triu": lambda x, k=0: torch.triu(x, k),
    "tril": lambda x, k=0: torch.tril(x, k),
    "diag": lambda x, k=0: torch.diag(x, k),
    "diagonal": diagonal,
    "trace": lambda x, **axes: diagonal(x, **axes).sum(-1),
    "sort": lambda x, axis=-1: torch.sort(x, dim=axis, stable=True).values,
    "repeat": lambda x, repeats, axis=None: torch.repeat_interleave(x, torch.tensor(repeats), dim=axis),
    "tile": lambda x, reps: torch.tile(x, tuple(np.atleast_1d(reps))),
    "roll": roll,
    "pad": pad,
    "concatenate": concatenate,
    "stack": lambda *xs, axis=0: torch.stack(xs, axis),
    "split": lambda x, indices_or_sections, axis=0: torch.tensor_split(x, indices_or_sections, axis),
    "getitem": getitem,
    "dot": dot,
    "outer": lambda a, b: torch.outer(a.ravel(), b.ravel()),
    "tensordot": lambda a, b, axes=2: torch.tensordot(a, b, axes),
    "einsum": lambda *xs, subscripts: torch.einsum(subscripts, *xs),
    "cross_entropy": cross_entropy,
    "mse": F.mse_loss,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
    "hinge": hinge,
    "dense": dense,
    "batch_norm": batch_norm,
    "rnn": rnn,
    "lstm": lstm,
    "maximum(x,x)": lambda x: torch.maximum(x, x),
    "minimum(x,x)": lambda x: torch.minimum(x, x),
    "multiply(x,x)": lambda x: torch.mul(x, x),
    "matmul(x,x)": lambda x: torch.matmul(x, x),
    "concatenate(x,x)": lambda x: torch.cat([x, x]),
}


def op(case):
    """The case as a function of its inputs; what is not in OPS has the same name and arguments in PyTorch."""
    function = OPS.get(case.call) or getattr(torch, case.call)
    return lambda *inputs: function(*inputs, **case.options)


# Layers


def recurrent(kind):
    """As minigrad's layers: the output, followed by the final states if initial ones were given."""

    def call(x, *rest, inputs, hidden, layers, return_sequence, activation="tanh"):
        count = len(rest) - 3 * layers
        states, parameters = rest[:count], rest[count:]
        first = states or [zeros(x, parameters[1], layers)] * len(cases.STATES[kind])
        outputs, *last = sequence(kind + " relu" * (activation == "relu"), x, first, parameters)
        y = outputs if return_sequence else outputs[:, -1]
        return [y, *last] if states else y

    return call


def cell(kind):
    def call(x, *rest, inputs, hidden, activation="tanh"):
        state = rest[:2] if kind == "LSTM" else rest[0]
        return CELLS[kind + " relu" * (activation == "relu")](x, state, *weights(*rest[-3:]))

    return call


def batch_norm_layer(*inputs, features, eps=1e-5, momentum=0.1):
    """Three batches in training and one in eval, then the running statistics."""
    *batches, last, gamma, beta = inputs
    running = torch.zeros(features, dtype=torch.float64), torch.ones(features, dtype=torch.float64)
    trained = [F.batch_norm(x, *running, gamma, beta, True, momentum, eps) for x in batches]
    frozen = [statistic.clone() for statistic in running]
    return [*trained, F.batch_norm(last, *frozen, gamma, beta, False, momentum, eps), *frozen]


def layer_norm(x, gamma, beta, features, eps=1e-5):
    return F.layer_norm(x, (features,), gamma, beta, eps)


LAYERS = {
    "Dense": lambda x, w, b=None, activation=None, **sizes: dense(x, w, b, activation),
    **{name: ACTIVATIONS[name.lower()] for name in ["Sigmoid", "Tanh", "ReLU", "ELU", "Softplus", "SiLU", "GELU"]},
    "LeakyReLU": leaky_relu,
    "Softmax": OPS["softmax"],
    "CrossEntropy": cross_entropy,
    "MSE": F.mse_loss,
    "BinaryCrossEntropy": F.binary_cross_entropy_with_logits,
    "Hinge": hinge,
    "Embedding": lambda index, w, **sizes: F.embedding(index, w),
    "Flatten": lambda x: torch.flatten(x, 1),
    "Dropout": lambda x, p: F.dropout(x, p, training=False),
    "LayerNorm": layer_norm,
    "BatchNorm": batch_norm_layer,
    **{kind: recurrent(kind) for kind in cases.GATES},
    **{f"{kind}Cell": cell(kind) for kind in cases.GATES},
}
BUILT = {  # as in test_reference_layers.py
    "Residual": lambda x, w0, b0, w1: torch.relu(x + dense(dense(x, w0, b0, "tanh"), w1, None)),
    "Residual with a shortcut": lambda x, w, b, around: F.linear(x, around.T) + dense(x, w, b, "tanh"),
    "DenseBlock": lambda x, w0, b0, w1: dense_block(x, dense(x, w0, b0, "sigmoid"), w1),
}


def dense_block(x, first, w):
    both = torch.cat([x, first], -1)
    return torch.cat([both, dense(both, w, None, "tanh")], -1)


def layer(case):
    function = BUILT.get(case.name) or LAYERS[case.call]
    return lambda *inputs: function(*inputs, **case.options)


# Derivatives of ops and layers


def derivatives(case, function):
    """The arrays of a case: inputs, outputs, gradients of ⟨output, cotangent⟩, and those of ⟨gradient, direction⟩."""
    rng = generator(case.name)
    inputs = {name: x if cases.stands_for_itself(x) else drawn(x, rng) for name, x in case.inputs.items()}
    arrays = {name: x for name, x in inputs.items() if isinstance(x, np.ndarray)}
    tensors = {name: tensor(x) for name, x in inputs.items()}
    leaves = {name: x for name, x in tensors.items() if x is not None and x.requires_grad}

    total = 0
    for name, y in named_outputs(function(*tensors.values())):
        arrays[name] = y.detach().numpy()
        if y.requires_grad:
            arrays[f"cotangent_{name}"] = cotangent = drawn(cases.Draw(tuple(y.shape)), rng)
            total = total + torch.sum(y * torch.tensor(cotangent))
    gradients = gradients_by(leaves, total)
    arrays |= {f"grad_{name}": g.numpy(force=True) for name, g in gradients.items()}
    if case.name in cases.NO_SECOND_DERIVATIVE:
        return arrays
    product = 0
    for name, g in gradients.items():
        arrays[f"direction_{name}"] = direction = drawn(cases.Draw(tuple(g.shape)), rng)
        product = product + torch.sum(g * torch.tensor(direction))
    second = gradients_by(leaves, product)
    return arrays | {f"second_{name}": g.numpy(force=True) for name, g in second.items()}


def gradients_by(leaves, y):
    """Differentiable gradients of y by all leaves; zeros for a leaf that y does not depend on."""
    if not y.requires_grad:  # the gradient of a linear function
        return {name: torch.zeros_like(x) for name, x in leaves.items()}
    found = torch.autograd.grad(y, leaves.values(), create_graph=True, materialize_grads=True)
    return dict(zip(leaves, found, strict=True))


def named_outputs(y):
    """("y", y) of a single output, ("y0", …), ("y1", …) … of several, which may be nested."""
    if isinstance(y, torch.Tensor):
        return [("y", y)]
    flat = [part for group in y for part in (group if isinstance(group, (list, tuple)) else [group])]
    return [(f"y{i}", part) for i, part in enumerate(flat)]


# Training


def schedule(name, settings, optimizer):
    """PyTorch's scheduler of that name where there is one, LambdaLR elsewhere."""
    s = SimpleNamespace(**{"steps": 1, "power": 1, "final": 0, **settings})
    if name == "ExponentialDecay" and s.steps == 1:
        return lr_scheduler.ExponentialLR(optimizer, s.rate)
    if name == "StepDecay":
        return lr_scheduler.StepLR(optimizer, s.every, s.factor)
    if name == "PiecewiseConstant":  # MultiStepLR if the values fall by one factor
        return lr_scheduler.MultiStepLR(optimizer, s.boundaries, s.values[1] / s.values[0])
    if name == "PolynomialDecay" and not s.final:
        return lr_scheduler.PolynomialLR(optimizer, s.steps, s.power)
    if name == "PolynomialDecay" and s.power == 1:
        return lr_scheduler.LinearLR(optimizer, 1.0, s.final / s.lr, s.steps)
    if name == "CosineDecay" and s.steps >= cases.RATES:  # CosineAnnealingLR rises again afterwards
        return lr_scheduler.CosineAnnealingLR(optimizer, s.steps, s.final)
    if name == "Warmup":
        rise = lr_scheduler.LinearLR(optimizer, 1 / s.steps, 1.0, s.steps - 1)
        return lr_scheduler.SequentialLR(optimizer, [rise, schedule(*s.schedule, optimizer)], [s.steps])
    if name == "ReduceOnPlateau":
        options = {key: value for key, value in settings.items() if key != "lr"}
        return lr_scheduler.ReduceLROnPlateau(optimizer, **{"factor": 0.1, "patience": 10, **options})
    factors = {
        "Constant": lambda t: 1.0,
        "ExponentialDecay": lambda t: s.rate ** (t / s.steps),
        "NaturalExponentialDecay": lambda t: math.exp(-s.rate * t / s.steps),
        "SqrtDecay": lambda t: (t + 1) ** -0.5,
        "InverseTimeDecay": lambda t: s.steps / (s.steps + s.rate * t),
        "CosineDecay": lambda t: (s.final + (s.lr - s.final) * cosine(t / s.steps)) / s.lr,
    }
    return lr_scheduler.LambdaLR(optimizer, factors[name])


def cosine(share):
    return math.cos(math.pi / 2 * min(share, 1)) ** 2  # = (1 + cos(π·share))/2


def first_rate(lr):
    """The rate that a scheduler starts from."""
    if not isinstance(lr, tuple):
        return lr
    settings = lr[1]
    if "schedule" in settings:
        return first_rate(settings["schedule"])
    return settings.get("lr", settings.get("values", [None])[0])


def rates(name, settings):
    """The learning rate of each step, and the metrics that ReduceOnPlateau sees."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], first_rate((name, settings)))
    scheduler, found = schedule(name, settings, optimizer), []
    metrics = np.round(generator(cases.schedule_name((name, settings))).uniform(0.5, 1, cases.RATES), 2)
    metrics[:20] += np.linspace(1, 0, 20) * (-1 if settings.get("mode") == "max" else 1)
    for metric in metrics:
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step(*([metric] if name == "ReduceOnPlateau" else []))
    return {"rates": np.array(found), **({"metrics": metrics} if name == "ReduceOnPlateau" else {})}


RENAMED = {"decay": "alpha"}


def optimizer_and_scheduler(case, parameters):
    """PyTorch's optimizer, and one LambdaLR for all groups, since each may have a schedule of its own."""
    groups, factors = [], []
    for group in case.groups or [{"params": range(len(parameters))}]:
        settings = {**case.settings, **group}
        factors.append(relative(settings["lr"]))
        settings |= {"params": [parameters[i] for i in group["params"]], "lr": first_rate(settings["lr"])}
        groups.append({RENAMED.get(key, key): value for key, value in settings.items()})
    optimizer = getattr(torch.optim, case.optimizer)(groups, lr=0.0)
    return optimizer, lr_scheduler.LambdaLR(optimizer, factors)


def relative(lr):
    """Step → the rate of a schedule divided by its first rate."""
    if not isinstance(lr, tuple):
        return lambda t: 1.0
    found = rates(*lr)["rates"] / first_rate(lr)
    return lambda t: float(found[t])


def logits(model, x, p, buffers):
    """The models of `cases.MODELS`, written with PyTorch's functions."""
    if model == "mlp":
        return dense(dense(x, p[0], p[1], "tanh"), p[2], p[3])
    if model in ("lstm", "gru"):
        states = [zeros(x, p[1])] * (2 if model == "lstm" else 1)
        return dense(sequence(model.upper(), x, states, p[:3])[0][:, -1], p[3], p[4])
    h = F.linear(x, p[0].T)
    if model == "batch norm":
        h = F.batch_norm(h, *buffers.values(), p[1], p[2], training=True)
    else:
        h = F.layer_norm(h, (h.shape[-1],), p[1], p[2])
    return dense(torch.tanh(h), p[3], p[4])


def trajectory(case):
    """Losses before each step, and parameters and running statistics after the last one."""
    rng, model = generator(case.name), cases.MODELS[case.model]
    initial = {name: drawn(value, rng) for name, value in model.parameters.items()}
    x, labels = drawn(model.x, rng), torch.tensor(cases.LABELS)
    parameters = [tensor(value) for value in initial.values()]
    buffers = {}
    if case.model == "batch norm":
        ones = torch.ones(len(initial["layers.1.gamma"]), dtype=torch.float64)
        buffers = {"layers.1.running_mean": 0 * ones, "layers.1.running_var": ones}
    optimizer, scheduler = optimizer_and_scheduler(case, parameters)
    losses = []
    for _ in range(cases.STEPS):
        optimizer.zero_grad()
        loss = F.cross_entropy(logits(case.model, torch.tensor(x), parameters, buffers), labels)
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    arrays = {"x": x, "losses": np.array(losses)}
    arrays |= {f"initial/{name}": value for name, value in initial.items()}
    final = {**dict(zip(initial, parameters, strict=True)), **buffers}
    return arrays | {f"final/{name}": value.detach().numpy() for name, value in final.items()}


# Clipping


def clipped(name, limit):
    """Gradients before and after, and their norm."""
    rng = generator(f"{name} {limit}")
    given = {key: drawn(value, rng) for key, value in cases.CLIPPED.items()}
    parameters = [torch.zeros(value.shape, dtype=torch.float64) for value in given.values()]
    for parameter, value in zip(parameters, given.values(), strict=True):
        parameter.grad = torch.tensor(value)
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters])
    if name == "clip_by_value":
        torch.nn.utils.clip_grad_value_(parameters, limit)
    elif name == "clip_by_global_norm":
        clip_norm(parameters, limit)
    else:
        for parameter in parameters:
            clip_norm([parameter], limit)
    after = {f"after/{key}": p.grad.numpy() for key, p in zip(given, parameters, strict=True)}
    return {**{f"before/{key}": value for key, value in given.items()}, **after, "norm": norm.numpy()}


def clip_norm(parameters, limit):
    """PyTorch divides by ‖g‖ + 1e-6, so it is given a norm that is 1e-6 smaller."""
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters])
    torch.nn.utils.clip_grads_with_norm_(parameters, limit, norm - 1e-6)


def everything():
    """All arrays of the file: "case/array" → array."""
    found = {case.name: derivatives(case, op(case)) for case in cases.OPS}
    found |= {case.name: derivatives(case, layer(case)) for case in cases.LAYERS}
    found |= {case.name: trajectory(case) for case in cases.TRAINING}
    found |= {cases.schedule_name((name, settings)): rates(name, settings) for name, settings in cases.SCHEDULES}
    found |= {f"{name} {limit}": clipped(name, limit) for name, limit in cases.CLIPPING}
    return {f"{case}/{name}": array for case, arrays in found.items() for name, array in arrays.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    check = parser.parse_args().check
    torch.set_num_threads(1)
    arrays = everything()
    if not check:
        np.savez_compressed(FILE, **arrays)
        print(f"{FILE.name}: {len(arrays)} arrays, {FILE.stat().st_size / 1e6:.2f} MB, PyTorch {torch.__version__}")
        return
    with np.load(FILE) as stored:
        assert set(stored.files) == set(arrays), set(stored.files) ^ set(arrays)
        for name, array in arrays.items():
            np.testing.assert_allclose(array, stored[name], rtol=1e-12, atol=1e-14, err_msg=name)
    print(f"{FILE.name}: all {len(arrays)} arrays are reproduced")


if __name__ == "__main__":
    main()
