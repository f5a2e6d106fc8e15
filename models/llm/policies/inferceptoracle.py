"""InferCept with the true times of calls, see infercept.py."""

SEES = ("program_arrival", "delay", "held_tokens", "others_tokens", "recompute_ms", "swap_ms")
SHAPE = "falling order"


def rank(program_arrival):
    return program_arrival


def handle(delay, held_tokens, others_tokens, recompute_ms, swap_ms):
    preserved = 1000.0 * delay * held_tokens
    discarded = recompute_ms * (0.5 * held_tokens + others_tokens)
    swapped = 2.0 * swap_ms * (held_tokens + others_tokens)
    if preserved <= discarded and preserved <= swapped:
        return 0
    return 1 if discarded <= swapped else 2
