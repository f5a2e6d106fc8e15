"""Least expected delay: the time of the prompts ahead and of this one, then of `answer` steps of decoding.

Of servers of several kinds the fast ones get more; of servers all alike it is by the prompt tokens that wait.
"""

SEES = ("phase", "role", "input_tokens", "waiting_tokens", "prefill_ms", "decode_ms")
PARAMETERS = {"answer": 100.0}


def score(phase, role, input_tokens, waiting_tokens, prefill_ms, decode_ms, answer):
    delay = 0.0
    if phase < 0.5:
        delay += prefill_ms * (1.0 + waiting_tokens / input_tokens)
    if role != 1:
        delay += answer * decode_ms
    return delay
