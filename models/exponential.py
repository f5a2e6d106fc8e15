"""Standard exponential random numbers from PCG64, the bits of numpy's own method at about twice its speed.

numpy calls the generator through a pointer for every draw; here both are compiled into one loop. The tables
of the ziggurat (Marsaglia and Tsang, 2000, in 256 layers) are numpy's, of which numba keeps a copy. A test
holds the two to equal bits.
"""

from __future__ import annotations

import ctypes
import math

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numba.np.random._constants import fe_double, ke_double, we_double, ziggurat_exp_r

_MULTIPLIER = (2549297995355413924 << 64) | 4865540595714422341
_U = np.uint64


def words_of(rng: np.random.Generator) -> np.ndarray:
    """The state of a PCG64 generator as it lies in memory: low and high word of the state, then of the step.

    What is written there is the generator's new state: reading and setting `bit_generator.state` would take
    longer than drawing a thousand numbers. Valid as long as `rng` is.
    """
    inner = ctypes.c_void_p.from_address(rng.bit_generator.ctypes.state_address).value
    return np.frombuffer((ctypes.c_uint64 * 4).from_address(inner), np.uint64)


def fill_exponential(rng: np.random.Generator, out: np.ndarray) -> np.ndarray:
    """Fill `out` with the numbers of `rng.standard_exponential`, leave `rng` as that would; returns `out`."""
    if not isinstance(rng.bit_generator, np.random.PCG64):
        return rng.standard_exponential(out=out)
    _fill(words_of(rng), out)
    return out


@intrinsic
def _advance(typingctx, high, low, step_high, step_low):
    """(state * multiplier + step) mod 2**128, a number of 128 bits being two words."""

    def codegen(context, builder, signature, arguments):
        wide, narrow = ir.IntType(128), ir.IntType(64)
        shift = ir.Constant(wide, 64)

        def join(upper, lower):
            return builder.or_(builder.shl(builder.zext(upper, wide), shift), builder.zext(lower, wide))

        product = builder.mul(join(*arguments[:2]), ir.Constant(wide, _MULTIPLIER))
        state = builder.add(product, join(*arguments[2:]))
        words = builder.trunc(builder.lshr(state, shift), narrow), builder.trunc(state, narrow)
        return context.make_tuple(builder, signature.return_type, words)

    return types.UniTuple(types.uint64, 2)(*[types.uint64] * 4), codegen


@njit(nogil=True)
def _output(high, low):
    mixed = high ^ low
    turn = high >> _U(58)
    return (mixed >> turn) | (mixed << ((_U(64) - turn) & _U(63)))


@njit(nogil=True, inline="always")
def draw(high, low, step_high, step_low):
    """One standard exponential number, and the state after it; written into the caller, which halves its time."""
    high, low = _advance(high, low, step_high, step_low)
    bits = _output(high, low) >> _U(3)
    layer = bits & _U(255)
    bits >>= _U(8)
    x = bits * we_double[layer]
    if bits < ke_double[layer]:
        return x, high, low
    return _outside(layer, x, high, low, step_high, step_low)


@njit(nogil=True)
def _outside(layer, x, high, low, step_high, step_low):
    """The draws that miss the layers' common part, one in ninety: a loop of its own, which keeps `draw` short."""
    while True:
        high, low = _advance(high, low, step_high, step_low)
        u = (_output(high, low) >> _U(11)) * (1.0 / 9007199254740992.0)
        if layer == _U(0):
            return ziggurat_exp_r - math.log1p(-u), high, low
        if (fe_double[layer - _U(1)] - fe_double[layer]) * u + fe_double[layer] < math.exp(-x):
            return x, high, low
        high, low = _advance(high, low, step_high, step_low)
        bits = _output(high, low) >> _U(3)
        layer = bits & _U(255)
        bits >>= _U(8)
        x = bits * we_double[layer]
        if bits < ke_double[layer]:
            return x, high, low


@njit(cache=True, nogil=True)
def _fill(words, out):
    low, high, step_low, step_high = words
    for i in range(out.size):
        out[i], high, low = draw(high, low, step_high, step_low)
    words[0], words[1] = low, high
