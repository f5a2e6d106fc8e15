"""As worth, and `squeeze` s for memory that would be full: what is held, waits and comes, beyond `from_share` of it.

A request with a call of value3 predicted seconds counts the more, up to twice, the longer its context may stay.
"""

SEES = ("requests", "model", "value1", "value2", "value3", "held_tokens", "waiting_tokens", "input_tokens", "kv_tokens")
PARAMETERS = {"delay": 0.3, "squeeze": 20.0, "from_share": 0.6}
INFORMATION = "predictions"


def score(
    requests,
    model,
    value1,
    value2,
    value3,
    held_tokens,
    waiting_tokens,
    input_tokens,
    kv_tokens,
    delay,
    squeeze,
    from_share,
):
    longer = 1.0 + value3 / (1.0 + value3)
    full = (held_tokens + waiting_tokens + longer * input_tokens) / kv_tokens
    return delay * requests + model * value1 * value2 + squeeze * max(full - from_share, 0.0)
