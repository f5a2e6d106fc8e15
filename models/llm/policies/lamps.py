"""LAMPS: the request whose memory over time will be least goes first, with how its call will be handled in mind.

Shahout, Liang, Xin, Lao, Cui, Yu, Mitzenmacher: Fast inference for augmented large language models (2024). A piece
with s tokens of prompt and o predicted output tokens, C = s + o, ends with a call of T predicted ms. Its handling is
chosen before by the least of

    preserve  T C      discard  R (C + K)      swap  2 S K

with R = prompt_ms C to compute it again, S = move_ms C to move it (0: it cannot be swapped), and K = `beside` tokens of
others beside it. The rank is the memory over time of the piece, o token_ms (s + o/2), and of its call: T C, R C or 0.
Who has waited as long as 100 iterations take goes first. When the call comes, the same rule is asked with what is then
known.
"""

SEES = (
    "input_tokens",
    "predicted",
    "predicted_delay",
    "idle",
    "arrival",
    "held_tokens",
    "others_tokens",
    "recompute_ms",
    "swap_ms",
)
SHAPE = "falling order"
PARAMETERS = {"token_ms": 25.0, "prompt_ms": 0.1, "move_ms": 0.0, "beside": 10000.0}


def rank(input_tokens, predicted, predicted_delay, idle, arrival, token_ms, prompt_ms, move_ms, beside):
    if idle * 1000.0 >= 100.0 * token_ms:
        return -1e18 + arrival
    context = input_tokens + predicted
    preserved, again = 1000.0 * predicted_delay * context, prompt_ms * context
    discarded = again * (context + beside)
    swapped = 2.0 * move_ms * context * beside if move_ms > 0.0 else float("inf")
    call = 0.0
    if preserved <= min(discarded, swapped):
        call = preserved
    elif discarded <= swapped:
        call = again * context
    return predicted * token_ms * (input_tokens + 0.5 * predicted) + call


def handle(predicted_delay, held_tokens, others_tokens, recompute_ms, swap_ms):
    preserved = 1000.0 * predicted_delay * held_tokens
    discarded = recompute_ms * (held_tokens + others_tokens)
    swapped = 2.0 * swap_ms * others_tokens if swap_ms < 1e300 else float("inf")
    if preserved <= discarded and preserved <= swapped:
        return 0
    return 1 if discarded <= swapped else 2
