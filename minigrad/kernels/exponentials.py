"""eˣ and related functions of one number, without branches: a loop that calls them works on many numbers at once.

- `exp_of(x)`, and `decay_of(x)` for x ≤ 0, in fewer steps; `expm1_of(x)` for x ≤ 0.
- `tanh_of(x)`, `sigmoid_of(x)`, `softplus_of(x)`, and `log1p_of(x)` for 0 ≤ x ≤ 1.
- `bell_of(x)`, e^(−x²/2), and `normal_cdf_of(x)`, its integral up to x as a share of the whole.

They take and return float32 or float64 (the last two return float64); NaN stays NaN, infinity gives the limit.

>>> from minigrad.kernels.exponentials import tanh_of
>>> import math
>>> math.isclose(tanh_of(0.5), math.tanh(0.5))
True

The largest errors found, in units of the last place (float32, float64):

    exp_of      1.1, 1.2    expm1_of  1.0, 1.4    tanh_of     4.95, 2.7
    sigmoid_of  2.3, 2.3    log1p_of  2.0, 2.0    softplus_of  2.6, 2.7

In `normal_cdf_of` the error grows like x²/2, as the rounding of x² alone makes it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from minigrad.kernels.compiler import by_dtype, helper


class Numbers(NamedTuple):
    """What the formulas need in one dtype; polynomials with the highest power first."""

    lowest: Any  # e to this is 0
    highest: Any  # e to this is infinite
    end: Any  # beyond ±end, 1 + eˣ is rounded to eˣ or to 1
    log2_e: Any
    ln2_high: Any  # ln 2 in two parts; the first has so few bits that a multiple of it is exact
    ln2_low: Any
    shift: Any  # adding it rounds to an integer, and puts it where it can become an exponent
    lifted: Any  # the same, with an exponent that is too large by `lift`
    drop: Any  # 2^−lift, which corrects that
    exp: tuple  # (eʳ − 1 − r)/r² for |r| ≤ ½·ln 2
    log: tuple  # (2·artanh s − 2s)/s³ in powers of s², for 0 ≤ s ≤ ⅓


def numbers(dtype, lowest, highest, end, digits, bias, lift, ln2_high, ln2_low, exp, log):
    shift = 1.5 * 2**digits + bias
    scalars = lowest, highest, end, 1 / math.log(2), ln2_high, ln2_low, shift, shift + lift, 2.0**-lift
    return Numbers(*map(dtype, scalars), tuple(map(dtype, exp)), tuple(map(dtype, log)))


# Polynomials nearest to the functions at Chebyshev's points: fewer terms than Taylor's for the same error
SINGLE = numbers(
    np.float32,
    lowest=-104,
    highest=89,
    end=20,
    digits=23,
    bias=127,
    lift=64,
    ln2_high=0.693359375,
    ln2_low=-2.12194440054690583e-4,
    exp=(0.0013926213466332443, 0.00836320297157585495, 0.0416665544376859389, 0.166665768459939763, 0.5),
    log=(0.268541445280013085, 0.282362539731430415, 0.400075727521446512, 0.666666402813104431),
)
DOUBLE = numbers(
    np.float64,
    lowest=-746,
    highest=710,
    end=44,
    digits=52,
    bias=1023,
    lift=128,
    ln2_high=0.693145751953125,
    ln2_low=1.42860682030941723212e-6,
    exp=(
        2.51004241570050668e-8, 2.76201387197339956e-7, 2.75572683786841929e-6, 2.48015211902177277e-5,
        1.98412698631059687e-4, 1.38888889172817933e-3, 8.33333333333005135e-3, 4.16666666666239915e-2,
        0.166666666666666675, 0.5,
    ),
    log=(
        0.161685089723887277, 0.0879863361950751556, 0.120014848932887582, 0.133141008842910603, 0.153855727071742951,
        0.181817893419948421, 0.222222227192999367, 0.285714285670902478, 0.400000000000146525, 0.666666666666666585,
    ),
)  # fmt: skip


def single(x):
    return SINGLE


def double(x):
    return DOUBLE


@by_dtype(single, double)
def numbers_of(x):
    """The numbers in the dtype of x."""


def power_single(shifted):
    """A float's exponent is in bits 23 to 30; adding c.shift has put the integer into the lowest ones."""
    return np.int32(np.float32(shifted).view(np.int32) << 23).view(np.float32)


def power_double(shifted):
    return np.int64(np.float64(shifted).view(np.int64) << 52).view(np.float64)


@by_dtype(power_single, power_double)
def power_of_two(shifted):
    """2ⁿ, given n + c.shift."""


@helper
def polynomial(coefficients, x):
    p = coefficients[0]
    for c in coefficients[1:]:
        p = p * x + c
    return p


@helper
def kept(x, low, high):
    """x kept between two bounds; NaN stays NaN."""
    x = low if x < low else x
    return high if x > high else x


@helper
def reduced(x, shift):
    """n + shift and eʳ − 1, for x = n·ln 2 + r with |r| ≤ ½·ln 2 (Cody and Waite, 1980)."""
    c = numbers_of(x)
    shifted = x * c.log2_e + shift  # so large that there is no room for a fraction
    n = shifted - shift
    r = (x - n * c.ln2_high) - n * c.ln2_low
    return shifted, r + r * r * polynomial(c.exp, r)


@helper
def exp_of(x):
    """eˣ = 2ⁿ·eʳ, down to the smallest number and up to infinity."""
    c, real = numbers_of(x), type(x)
    shifted, q = reduced(kept(x, c.lowest, c.highest), c.shift)
    n = shifted - c.shift
    half = n * real(0.5) + c.shift  # 2ⁿ alone may be too small or large, where eˣ is not
    rest = (n - (half - c.shift)) + c.shift
    return (real(1) + q) * power_of_two(half) * power_of_two(rest)


@helper
def decay_of(x):
    """eˣ for x ≤ 0, where 2ⁿ cannot overflow: it is made 2^lift too large, which keeps all digits, and scaled back."""
    c, real = numbers_of(x), type(x)
    shifted, q = reduced(c.lowest if x < c.lowest else x, c.lifted)
    return (real(1) + q) * power_of_two(shifted) * c.drop


@helper
def expm1_near(x):
    """eˣ − 1 = 2ⁿ·(eʳ − 1) + (2ⁿ − 1) for |x| ≤ end."""
    shifted, q = reduced(x, numbers_of(x).shift)
    power = power_of_two(shifted)
    return power * q + (power - type(x)(1))


@helper
def expm1_of(x):
    """eˣ − 1 for x ≤ 0: results close to −1 or to 0 keep their last digits."""
    c = numbers_of(x)
    return expm1_near(kept(x, -c.end - c.end, c.end))


# In float32, tanh x = x·P(x²)/Q(x²) up to END, where that is 1.
# Found by weighted least squares (Lawson, 1961), to minimise the largest error in last places, with P(0) = Q(0) so that
# tiny x stay as they are; then rounded, and changed by single bits as long as that reduced the largest error of all x.
END = np.float32(7.9299917)
P = tuple(map(np.float32, (0.017742261, 25.832485, 4242.3394, 160143.11, 1192081.6)))
Q = tuple(map(np.float32, (1.0, 404.0893, 31132.77, 557503.56, 1192081.6)))


def tanh_single(x):
    x = kept(x, -END, END)
    return x * (polynomial(P, x * x) / polynomial(Q, x * x))


def tanh_double(x):
    c, two = numbers_of(x), type(x)(2)
    e = expm1_near(kept(two * x, -c.end, c.end))
    return e / (e + two)


@by_dtype(tanh_single, tanh_double)
def tanh_of(x):
    """tanh x = (e²ˣ − 1)/(e²ˣ − 1 + 2) in float64; in float32 a ratio of polynomials, faster by a third."""


@helper
def sigmoid_of(x):
    """σ(x) = 1/(1 + e⁻ˣ), computed from e^−|x|, which cannot overflow."""
    one = type(x)(1)
    e = decay_of(-abs(x))
    return (one if x >= 0 else e) / (one + e)


@helper
def log1p_of(x):
    """ln(1 + x) = 2·artanh(x/(2 + x)) for 0 ≤ x ≤ 1."""
    c, two = numbers_of(x), type(x)(2)
    s = x / (two + x)
    return two * s + s * (s * s) * polynomial(c.log, s * s)


@helper
def softplus_of(x):
    """ln(1 + eˣ) = max(x, 0) + ln(1 + e^−|x|)."""
    zero = type(x)(0)
    return (zero if x < zero else x) + log1p_of(decay_of(-abs(x)))


# Φ(−a)·e^(a²/2)·(1 + a) in powers of (a − 5)/(a + 5), which maps 0 ≤ a < ∞ to −1 … 1
MILLS = (
    -2.88479472410544933e-10, 2.2027448318350711e-9, 3.66183653586327711e-9, -2.54440504580326687e-8,
    -2.6367971673574039e-8, 1.88410370020808853e-7, 1.27987832828712041e-7, -1.30039019274136888e-6,
    -7.04376663890156004e-8, 9.05569490738679112e-6, -9.89604900639879283e-6, -5.36059967283799178e-5,
    1.82334128388478809e-4, 7.79120688437386915e-6, -1.6760723409777718e-3, 6.52200072662229337e-3,
    -1.51704154029607622e-2, 2.453696323875023e-2, -2.64010429662798185e-2, 1.0002352385420083e-2,
    3.10303684259630001e-2, -9.15522818340112183e-2, 0.461515829850037776,
)  # fmt: skip
EVEN, ODD = MILLS[::2], MILLS[1::2]  # loops of more than a dozen terms are not unrolled


@helper
def bell_of(x):
    """e^(−x²/2), in float64: with x² in float32 the tail would lose its digits."""
    x = np.float64(x)
    return decay_of(-0.5 * x * x)


@helper
def normal_cdf_of(x):
    """Φ(x), the integral of the normal distribution up to x, in float64."""
    a = kept(abs(np.float64(x)), 0.0, 40.0)  # from there on it is 0 or 1
    t = (a - 5.0) / (a + 5.0)
    tail = bell_of(a) * (polynomial(EVEN, t * t) + t * polynomial(ODD, t * t)) / (1.0 + a)
    return 1.0 - tail if x > 0 else tail
