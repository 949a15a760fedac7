"""Elementwise functions and their derivatives: name, forward, ∂y/∂x for each input, the same as a formula.

A rule is handed the output first: `lambda y, x: 1 - y * y` is tanh' in terms of tanh. A rule that is a comparison
selects: the gradient is passed on where it holds, and is 0 elsewhere, even for an infinite upstream. At a kink the
derivative takes the value that the op's docstring states. Constants are written 1.0 where integers must become floats.
`compiled.py` puts kernels beside the activations; on small arrays the lines here are what runs.
"""

from __future__ import annotations

import math

import numpy as np

from minigrad.arrays import accepted
from minigrad.define import composition, elementwise

__all__ = [
    "abs", "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "astype", "clip", "cos",
    "cosh", "divide", "elu", "exp", "expm1", "gelu", "hard_tanh", "hypot", "leaky_relu", "log", "log10", "log1p",
    "log2", "logaddexp", "maximum", "minimum", "multiply", "negative", "power", "reciprocal", "relu", "sigmoid",
    "silu", "sin", "sinh", "softplus", "softsign", "sqrt", "square", "subtract", "tan", "tanh", "where",
]  # fmt: skip


def ufunc(function, derivatives, formulas, doc=None):
    """One of NumPy's functions of each element, under its own name."""
    return elementwise(function.__name__, function, derivatives, formulas, numpy=function, doc=doc)


# Arithmetic


def over(a, b):
    """a/b, and 0 where b is 0."""
    zero = b == 0
    return np.where(zero, 0, a / np.where(zero, 1, b))


def raised(a, b):
    """aᵇ; a Python number takes the dtype of the array beside it."""
    if isinstance(b, (int, float)) and b == 3 and isinstance(a, np.ndarray) and a.dtype.kind == "f":
        return a * a * a  # NumPy's own third power takes a hundred times as long
    return a**b if isinstance(a, np.ndarray) or isinstance(b, np.ndarray) else np.power(a, b)


def power_by_base(y, a, b):
    """b·aᵇ⁻¹, which is 0 for b = 0 even at a = 0."""
    if isinstance(b, (int, float)):
        return b * a ** (b - 1 if b else 0)
    return b * a ** np.where((a == 0) & (b == 0), 0, b - y.dtype.type(1))  # b may be unsigned


def power_by_exponent(y, a, b):
    """aᵇ·ln a, which is 0 at a = 0 and undefined for a < 0."""
    return y * np.log(np.where(a < 0, np.nan, np.where(a == 0, 1, a)))


add = ufunc(np.add, [1, 1], ["1", "1"])
subtract = ufunc(np.subtract, [1, -1], ["1", "−1"])
negative = ufunc(np.negative, [-1], ["−1"])
multiply = ufunc(np.multiply, [lambda y, a, b: b, lambda y, a, b: a], ["b", "a"])
divide = ufunc(np.divide, [lambda y, a, b: 1 / b, lambda y, a, b: -y / b], ["1/b", "−a/b²"])
power = elementwise(
    "power",
    raised,
    [power_by_base, power_by_exponent],
    ["b·aᵇ⁻¹", "aᵇ·ln a"],
    numpy=np.power,
    doc="aᵇ. At a = 0 the derivative of a⁰ by a is 0, and that of 0ᵇ by b too; for a < 0 the one by b is NaN.",
)
square = ufunc(np.square, [lambda y, x: 2 * x], ["2x"])
sqrt = ufunc(np.sqrt, [lambda y, x: 0.5 / y], ["1/(2√x)"])
reciprocal = elementwise("reciprocal", lambda x: 1 / x, [lambda y, x: -y * y], ["−1/x²"], numpy=np.reciprocal)
abs = elementwise(
    "abs", np.abs, [lambda y, x: np.sign(x)], ["sign x"], numpy=np.abs, doc="|x|; its derivative at 0 is 0."
)

# Exponentials and logarithms

exp = ufunc(np.exp, [lambda y, x: y], ["eˣ"])
expm1 = ufunc(np.expm1, [lambda y, x: np.exp(x)], ["eˣ"])
log = ufunc(np.log, [lambda y, x: 1 / x], ["1/x"])
log1p = ufunc(np.log1p, [lambda y, x: 1 / (1 + x)], ["1/(1+x)"])
log2 = ufunc(np.log2, [lambda y, x: 1 / (x * math.log(2))], ["1/(x·ln 2)"])
log10 = ufunc(np.log10, [lambda y, x: 1 / math.log(10) / x], ["1/(x·ln 10)"])
logaddexp = ufunc(
    np.logaddexp,
    [lambda y, a, b: sigmoid(a - b), lambda y, a, b: sigmoid(b - a)],
    ["eᵃ/(eᵃ+eᵇ)", "eᵇ/(eᵃ+eᵇ)"],
)

# Trigonometric and hyperbolic functions; rules use products and hypot, as x² in 1 ± x² may overflow

sin = ufunc(np.sin, [lambda y, x: np.cos(x)], ["cos x"])
cos = ufunc(np.cos, [lambda y, x: -np.sin(x)], ["−sin x"])
tan = ufunc(np.tan, [lambda y, x: 1 + y * y], ["1+tan²x"])
arcsin = ufunc(np.arcsin, [lambda y, x: 1 / np.sqrt((1 - x) * (1 + x))], ["1/√(1−x²)"])
arccos = ufunc(np.arccos, [lambda y, x: -1 / np.sqrt((1 - x) * (1 + x))], ["−1/√(1−x²)"])
arctan = ufunc(np.arctan, [lambda y, x: (1 / np.hypot(1, x)) ** 2], ["1/(1+x²)"])
sinh = ufunc(np.sinh, [lambda y, x: np.cosh(x)], ["cosh x"])
cosh = ufunc(np.cosh, [lambda y, x: np.sinh(x)], ["sinh x"])
arcsinh = ufunc(np.arcsinh, [lambda y, x: 1 / np.hypot(1, x)], ["1/√(1+x²)"])
arccosh = ufunc(np.arccosh, [lambda y, x: 1 / (np.sqrt(x - 1) * np.sqrt(x + 1))], ["1/√(x²−1)"])
arctanh = ufunc(np.arctanh, [lambda y, x: 1 / ((1 - x) * (1 + x))], ["1/(1−x²)"])
arctan2 = ufunc(
    np.arctan2,
    [
        lambda y, a, b: over(over(b, np.hypot(a, b)), np.hypot(a, b)),
        lambda y, a, b: -over(over(a, np.hypot(a, b)), np.hypot(a, b)),
    ],
    ["b/(a²+b²)", "−a/(a²+b²)"],
    doc="The angle of the point (b, a); its derivatives at the origin are 0.",
)
hypot = ufunc(
    np.hypot,
    [lambda y, a, b: over(a, y), lambda y, a, b: over(b, y)],
    ["a/√(a²+b²)", "b/√(a²+b²)"],
    doc="√(a² + b²); its derivatives at the origin are 0.",
)

# Activations


def logistic(x):
    """1/(1+e⁻ˣ), computed from e^−|x|, which cannot overflow."""
    e = np.exp(np.minimum(x, -1.0 * x))  # |x| of the least integer overflows
    return np.where(x >= 0, 1, e) / (1 + e)


erfc = np.vectorize(math.erfc, otypes=[np.float64])  # NumPy has none


def cumulative_normal(x):
    """Φ(x), the integral of φ up to x."""
    return (0.5 * erfc(x / -math.sqrt(2))).astype(np.result_type(np.asarray(x), np.float32))


def normal_density(x):
    """φ(x) = e^(−x²/2)/√(2π), with x clipped so that its square cannot overflow."""
    return np.exp(-np.square(np.clip(x, -40, 40)) / 2) / math.sqrt(2 * math.pi)


sigmoid = elementwise("sigmoid", logistic, [lambda y, x: y * (1 - y)], ["σ(1−σ)"], kind="activation")
tanh = elementwise("tanh", np.tanh, [lambda y, x: 1 - y * y], ["1−tanh²"], kind="activation", numpy=np.tanh)
relu = elementwise(
    "relu",
    lambda x: np.maximum(x, 0),
    [lambda y, x: y != 0],
    ["1[z>0]"],
    kind="activation",
    doc="max(x, 0); its derivative at 0 is 0. NaN is passed on, forward and backward.",
)
leaky_relu = elementwise(
    "leaky_relu",
    lambda x, slope=0.01: np.where(x > 0, x, slope * x),
    [lambda y, x, slope: np.where(x > 0, 1, y.dtype.type(slope))],
    ["1[z>0]+α·1[z≤0]"],
    kind="activation",
    doc="x for x > 0, else slope·x; its derivative at 0 is the slope.",
)
elu = elementwise(
    "elu",
    lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0))),
    [lambda y, x, alpha: np.where(x > 0, 1, y + alpha)],
    ["1[z>0]+α·eᶻ·1[z≤0]"],
    kind="activation",
    doc="x for x > 0, else alpha·(eˣ − 1) (Clevert et al., 2016); its derivative at 0 is alpha.",
)
softplus = elementwise("softplus", lambda x: np.logaddexp(x, 0.0), [lambda y, x: sigmoid(x)], ["σ"], kind="activation")
silu = elementwise(
    "silu",
    lambda x: x * logistic(x),
    [lambda y, x: sigmoid(x) * (1 + x * sigmoid(-x))],
    ["σ(1+z(1−σ))"],
    kind="activation",
)
normal_cdf = elementwise("normal_cdf", cumulative_normal, [lambda y, x: normal_density(x)], ["φ"])
gelu = elementwise(
    "gelu",
    lambda x: x * normal_cdf(x),
    [lambda y, x: normal_cdf(x) + x * normal_density(x)],
    ["Φ+z·φ"],
    kind="activation",
    doc="x·Φ(x) with the distribution function Φ of the normal distribution (Hendrycks and Gimpel, 2016).",
)
softsign = elementwise(
    "softsign",
    lambda x: x / (1.0 + np.abs(1.0 * x)),
    [lambda y, x: (1 / (1.0 + np.abs(x))) ** 2],
    ["1/(1+|z|)²"],
    kind="activation",
)
hard_tanh = elementwise(
    "hard_tanh",
    lambda x: np.clip(x, -1.0, 1.0),
    [lambda y, x: np.abs(y) != 1],
    ["1[|z|<1]"],
    kind="activation",
    doc="x kept between −1 and 1; its derivative at ±1 is 0.",
)

# Choices


def chosen(loses, ties):
    """0 where the other input is chosen, ½ where they tie, else 1, also where either is NaN."""
    wins = np.logical_not(loses)
    return np.where(ties, 0.5, wins) if np.any(ties) else wins


maximum = ufunc(
    np.maximum,
    [lambda y, a, b: chosen(a < b, a == b), lambda y, a, b: chosen(b < a, a == b)],
    ["1[a>b]", "1[b>a]"],
    doc="The larger of a and b; where they tie, each has the derivative ½.",
)
minimum = ufunc(
    np.minimum,
    [lambda y, a, b: chosen(a > b, a == b), lambda y, a, b: chosen(b > a, a == b)],
    ["1[a<b]", "1[b<a]"],
    doc="The smaller of a and b; where they tie, each has the derivative ½.",
)
where = elementwise(
    "where",
    lambda condition, a, b: np.where(condition, a, b),
    [None, lambda y, c, a, b: np.not_equal(c, 0), lambda y, c, a, b: np.equal(c, 0)],
    ["", "1[condition]", "1[not condition]"],
    numpy=np.where,
)
clipped = elementwise(
    "clip",
    lambda x, low, high: np.clip(x, low, high),
    [
        lambda y, x, low, high: y == x,
        lambda y, x, low, high: (y > x) & (y == low),
        lambda y, x, low, high: (y < x) | ((y > x) & (y != low)),  # for low > high, high wins
    ],
    ["1[low≤x≤high]", "1[x<low]", "1[x>high]"],
)
clipped.passed_on += (type(None),)  # a bound that was left out


@composition(np.clip)
def clip(x, low=None, high=None):
    """x kept between two bounds, either of which may be left out; at a bound the derivative by x is 1."""
    return clipped(x, low, high)


astype = elementwise("astype", lambda x, dtype: np.array(x, accepted(np.dtype(dtype))), [1], ["1"], kind="view")
