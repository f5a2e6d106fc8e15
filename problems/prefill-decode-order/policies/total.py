"""Least predicted tokens left, of prompt and answer alike."""

SEES = ("estimate", "generated", "input_tokens", "running")
SHAPE = "falling order"


def rank(estimate, generated, input_tokens, running):
    return estimate if running > 0 else estimate + input_tokens + generated
