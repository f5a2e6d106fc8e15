"""InferCept: first come first served by programs; of a request that calls a tool it keeps what wastes least memory.

Abhyankar, He, Srivatsa, Zhang, Zhang: InferCept: efficient intercept support for augmented large language model
inference (ICML 2024). Waste is memory held without use, in token ms: with a context of C tokens, T ms of the call
and K tokens of the requests that run,

    preserve   T C
    discard    R C / 2 + R K: the context is computed again in R ms, while it fills up and the others wait
    swap       2 S (C + K): it is moved out and in, in S ms each way, while the others wait

T is predicted; inferceptoracle knows it. The published rule computes again in chunks that fill an iteration up and
swaps only what hides behind computing; here both cost the time that the hardware law gives them.
"""

SEES = ("program_arrival", "predicted_delay", "held_tokens", "others_tokens", "recompute_ms", "swap_ms")
SHAPE = "falling order"


def rank(program_arrival):
    return program_arrival


def handle(predicted_delay, held_tokens, others_tokens, recompute_ms, swap_ms):
    preserved = 1000.0 * predicted_delay * held_tokens
    discarded = recompute_ms * (0.5 * held_tokens + others_tokens)
    swapped = 2.0 * swap_ms * (held_tokens + others_tokens)
    if preserved <= discarded and preserved <= swapped:
        return 0
    return 1 if discarded <= swapped else 2
