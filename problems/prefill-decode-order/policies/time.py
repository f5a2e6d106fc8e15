"""Least predicted time of the server left, a token of the prompt counted as `prompt` tokens of the answer."""

SEES = ("estimate", "generated", "input_tokens", "running")
SHAPE = "falling order"
PARAMETERS = {"prompt": 0.2}


def rank(estimate, generated, input_tokens, running, prompt):
    return estimate if running > 0 else estimate + prompt * (input_tokens + generated)
