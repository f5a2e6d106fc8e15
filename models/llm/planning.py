"""What policies that plan iterations (rounds.py) may import: the time of an iteration, blocks, and common moves.

`view` and `plan` are those of decide; the moves need the columns todo, held and decoding. They take the blocks for the
whole of a prompt when it begins, and evict the last to arrive where blocks are missing.
"""

import numpy as np
from numba import njit
from openqueues.models.llm.timing import decode_line, prefill_ms

EVICT, SWAP_OUT, SWAP_IN = -1, -2, -3


@njit
def step_ms(law, prompt_tokens, squares, decoding, attended):
    """ms of an iteration as in hardware.py: L, L2, B and K; law is that of the view."""
    if prompt_tokens > 0:
        return prefill_ms(law, prompt_tokens, squares, decoding, attended)
    floor, const, slope = decode_line(law, decoding)
    return max(floor, const + slope * attended)


@njit
def blocks(tokens, block):
    """Blocks of `block` tokens for so many tokens, a float as these are."""
    return (tokens + block - 1.0) // block


@njit(error_model="numpy")
def make_room(view, plan):
    """Evict the last to arrive until all others that hold memory have the blocks for their next token.

    Returns (free blocks beyond those, requests that hold memory and stay).
    """
    block = view.block_tokens
    free, staying = view.free_tokens // block, 0
    for k in range(plan.size):
        if view.held[k] > 0.0:
            free -= blocks(view.held[k] + view.todo[k], block) - blocks(view.held[k], block)
            staying += 1
    k = plan.size - 1
    while free < 0.0:
        if view.held[k] > 0.0:
            free += blocks(view.held[k] + view.todo[k], block)
            plan[k] = EVICT
            staying -= 1
        k -= 1
    return free, staying


@njit
def go_on(view, plan, tokens, decoding):
    """Plan at most `tokens` for those that hold memory and have no entry: that decode (1.0), or are prompts (0.0).

    The earlier arrival is first; returns the tokens that are left.
    """
    for k in range(plan.size):
        if view.held[k] > 0.0 and view.decoding[k] == decoding and plan[k] == 0 and tokens >= 1.0:
            said = min(view.todo[k], tokens)
            plan[k] = int(said)
            tokens -= said
    return tokens


@njit(error_model="numpy")
def start(view, plan, k, free, running, tokens):
    """Begin the prompt of request k if batch, tokens, and memory but for the watermark have room for it.

    free: blocks that nobody will take; running: requests that hold memory. Returns (whether it began, free, running,
    tokens) after it.
    """
    needed = blocks(view.todo[k], view.block_tokens)
    if running >= view.max_batch or tokens < 1.0 or needed + view.spare_tokens // view.block_tokens > free:
        return False, free, running, tokens
    said = min(view.todo[k], tokens)
    plan[k] = int(said)
    return True, free - needed, running + 1, tokens - said


@njit
def peak(sizes, left):
    """Most tokens held at once if request i holds sizes[i] now, makes left[i] more, one an iteration, and ends."""
    order = np.argsort(-left)
    held, most = 0.0, 0.0
    for place in range(order.size):
        held += sizes[order[place]]
        most = max(most, held + (place + 1) * left[order[place]])
    return most
