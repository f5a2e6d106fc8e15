"""Standard exponential random numbers from PCG64, the bits of numpy's own method at about twice its speed.

numpy calls the generator through a pointer for every draw; here both are compiled into one loop. The tables
of the ziggurat (Marsaglia and Tsang, 2000, in 256 layers) are numpy's, of which numba keeps a copy. A test
holds the two to equal bits.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numba.np.random._constants import fe_double, ke_double, we_double, ziggurat_exp_r

_MULTIPLIER = (2549297995355413924 << 64) | 4865540595714422341
_WORD = (1 << 64) - 1
_U = np.uint64


def fill_exponential(rng: np.random.Generator, out: np.ndarray) -> np.ndarray:
    """Fill `out` with the numbers of `rng.standard_exponential`, leave `rng` as that would; returns `out`."""
    state = rng.bit_generator.state
    if state["bit_generator"] != "PCG64":
        return rng.standard_exponential(out=out)
    inner = state["state"]
    at, step = inner["state"], inner["inc"]
    high, low = _fill(_U(at >> 64), _U(at & _WORD), _U(step >> 64), _U(step & _WORD), out)
    inner["state"] = (int(high) << 64) | int(low)
    rng.bit_generator.state = state
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


@njit(cache=True, nogil=True)
def _fill(high, low, step_high, step_low, out):
    i = 0
    while i < out.size:
        high, low = _advance(high, low, step_high, step_low)
        bits = _output(high, low) >> _U(3)
        layer = bits & _U(255)
        bits >>= _U(8)
        x = bits * we_double[layer]
        if bits < ke_double[layer]:
            out[i] = x
            i += 1
            continue
        high, low = _advance(high, low, step_high, step_low)
        u = (_output(high, low) >> _U(11)) * (1.0 / 9007199254740992.0)
        if layer == _U(0):
            out[i] = ziggurat_exp_r - math.log1p(-u)
            i += 1
        elif (fe_double[layer - _U(1)] - fe_double[layer]) * u + fe_double[layer] < math.exp(-x):
            out[i] = x
            i += 1
    return high, low
