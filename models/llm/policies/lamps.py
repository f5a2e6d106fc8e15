"""LAMPS: the request whose memory over time will be least goes first, with how its call will be handled in mind.

Shahout, Liang, Xin, Lao, Cui, Yu, Mitzenmacher: Fast inference for augmented large language models (2024). A piece
with s tokens of prompt and o predicted output tokens, C = s + o, ends with a call of T predicted ms. Its handling is
chosen by the least of

    preserve  T C      discard  R (C + K)      swap  2 S K

with R ms to compute it again, S ms to move it one way, and K tokens of others. The rank is the memory over time of the
piece, o token_ms (s + o/2), and of its call: T C if it is preserved, else R C, with R = prompt_ms C and K = `beside`
tokens; that a call may be swapped is left to the moment when it comes, where the same rule is asked with what is then
known. Who has waited as long as `patience` iterations take goes first, the earlier program before the later.
"""

SEES = (
    "input_tokens",
    "predicted",
    "predicted_delay",
    "idle",
    "program_arrival",
    "held_tokens",
    "others_tokens",
    "recompute_ms",
    "swap_ms",
)
SHAPE = "falling order"
PARAMETERS = {"token_ms": 25.0, "prompt_ms": 0.1, "beside": 10000.0, "patience": 100}


def rank(input_tokens, predicted, predicted_delay, idle, program_arrival, token_ms, prompt_ms, beside, patience):
    if idle * 1000.0 >= patience * token_ms:
        return -1e18 + program_arrival
    context = input_tokens + predicted
    preserved, again = 1000.0 * predicted_delay * context, prompt_ms * context
    call = preserved if preserved <= again * (context + beside) else again * context
    return predicted * token_ms * (input_tokens + 0.5 * predicted) + call


def handle(predicted_delay, held_tokens, others_tokens, recompute_ms, swap_ms):
    preserved = 1000.0 * predicted_delay * held_tokens
    discarded = recompute_ms * (held_tokens + others_tokens)
    swapped = 2.0 * swap_ms * others_tokens if swap_ms < 1e300 else float("inf")
    if preserved <= discarded and preserved <= swapped:
        return 0
    return 1 if discarded <= swapped else 2
