"""Displaces a running request only for one that is shorter by more than `price` times the tokens it holds.

These tokens, prompt and answer so far, have to be computed again when it comes back.
"""

SEES = ("estimate", "input_tokens", "generated", "running")
SHAPE = "falling order"
PARAMETERS = {"preempt": "batch", "price": 1.0}


def rank(estimate, input_tokens, generated, running, price):
    return estimate - price * (input_tokens + generated) if running > 0 else estimate
