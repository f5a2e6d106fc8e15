"""The time of an iteration, for policies that plan iterations (rounds.py): the one module that they may import."""

from numba import njit
from openqueues.models.llm.timing import decode_line, prefill_ms


@njit
def step_ms(law, prompt_tokens, squares, decoding, attended):
    """ms of an iteration as in hardware.py: L, L2, B and K; law is that of the view."""
    if prompt_tokens > 0:
        return prefill_ms(law, prompt_tokens, squares, decoding, attended)
    floor, const, slope = decode_line(law, decoding)
    return max(floor, const + slope * attended)
