"""The time of an iteration, and of many decoding iterations at once. Template text of the engine's kernel.

With L tokens of prompts computed in the step, L2 the sum over its prompts of (end^2 - start^2) of the chunk
computed, B requests that decode and K the tokens that these attend to,

    prompts  = prefill_step + prefill_token L + prefill_token2 L2, or mixed_step > 0 if that is more and B > 0
    additive = prompts + decode_seq B + kv_token K            if L > 0
             = decode_step + decode_seq B + kv_token K        otherwise
    time     = max(additive + tile ceil((L + B) / tile_tokens) + table(L + B),
                   compute_step + compute_token (L + B))

in ms; a step that only decodes with B >= from_batch > 0 takes the second set of constants (decode2, kv2). The
table is linear between its points, constant before the first and goes on with its last slope.

While the same B requests decode, K grows by B from one step to the next, so that the steps take
max(floor, const + slope K), max(floor, const + slope (K + B)), ...: sums have closed forms.
"""

import math

from numba import njit
from openqueues.models.llm.hardware import LAYOUT

# The places in c, the array of Hardware.coefficients and what follows it.
COEFFICIENTS = LAYOUT


# Parts of the kernel are called by it only, and own no memory: that saves most of the time to compile them.
PART = {"nogil": True, "_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
part = njit(**PART)
TABLE = 20  # where the table begins: its number of points, their tokens, their ms


@part
def table_ms(c, tokens):
    """The piecewise linear table at a number of tokens; 0 without a table."""
    points = int(c[TABLE])
    if points == 0:
        return 0.0
    x, y = c[TABLE + 1 : TABLE + 1 + points], c[TABLE + 1 + points :]
    if tokens <= x[0]:
        return y[0]
    i = 1
    while i < points - 1 and x[i] < tokens:
        i += 1
    return y[i - 1] + (y[i] - y[i - 1]) / (x[i] - x[i - 1]) * (tokens - x[i - 1])


@part
def shared_ms(c, tokens):
    """What is paid for the number of tokens computed, whatever they are: tiles and the table."""
    ms = table_ms(c, tokens)
    if c[10] > 0:
        ms += c[11] * math.ceil(tokens / c[10])
    return ms


@part
def prefill_ms(c, new, squares, decoding, attended):
    """Time of a step that computes `new` > 0 tokens of prompts, and one token each of `decoding` requests."""
    ms = c[0] + c[1] * new + c[2] * squares
    if decoding > 0:
        if c[14] > 0.0:
            ms = max(ms, c[14])
        ms += c[4] * decoding + c[5] * attended
    tokens = float(new + decoding)
    return max(ms + shared_ms(c, tokens), c[12] + c[13] * tokens)


@part
def decode_line(c, decoding):
    """(floor, const, slope) of a step in which `decoding` requests attend to K tokens: max(floor, const + slope K)."""
    tokens = float(decoding)
    floor = c[12] + c[13] * tokens
    shared = shared_ms(c, tokens)
    if c[6] > 0 and decoding >= c[6]:
        return floor, c[7] + c[8] * tokens + shared, c[9]
    return floor, c[3] + c[4] * tokens + shared, c[5]


@part
def floored(floor, first, growth, steps):
    """How many of the steps max(floor, first), max(floor, first + growth), ... take no longer than the floor."""
    if first >= floor or growth <= 0:
        return 0.0 if first >= floor else float(steps)
    return min(float(steps), math.ceil((floor - first) / growth))


@part
def decode_ms(floor, first, growth, steps):
    """Time of `steps` decoding steps of which the first takes max(floor, first)."""
    low = floored(floor, first, growth, steps)
    rest = steps - low
    return low * floor + rest * (first + low * growth) + growth * (0.5 * rest * (rest - 1.0))


@part
def decode_area(floor, first, growth, steps, resident, decoding):
    """Integral over these steps' time of the resident tokens: `resident` in the first, `decoding` more in each."""
    low = floored(floor, first, growth, steps)
    area = floor * (low * resident + decoding * (0.5 * low * (low - 1.0)))
    rest = steps - low
    first += low * growth
    resident += low * decoding
    sum1 = 0.5 * rest * (rest - 1.0)
    sum2 = sum1 * (2.0 * rest - 1.0) / 3.0
    return area + first * resident * rest + (first * decoding + growth * resident) * sum1 + growth * decoding * sum2


@part
def decode_steps(floor, first, growth, most, ms):
    """About how many of these steps, from 1 to `most`, last `ms`: exact but for rounding."""
    low = floored(floor, first, growth, most)
    if ms <= low * floor:
        steps = ms / floor if floor > 0 else 1.0
    else:
        ms -= low * floor
        first += low * growth
        half = first - 0.5 * growth
        if growth > 0:
            steps = low + 2.0 * ms / (half + math.sqrt(max(half * half + 2.0 * growth * ms, 0.0)))
        else:
            steps = low + ms / first if first > 0 else float(most)
    return int(min(max(math.ceil(steps), 1.0), float(most)))
