"""Least time of the server left by the true length, a prompt token counted as `prompt` of the answer."""

SEES = ("left", "generated", "input_tokens", "running")
SHAPE = "falling order"
PARAMETERS = {"prompt": 0.2}


def rank(left, generated, input_tokens, running, prompt):
    return left if running > 0 else left + prompt * (input_tokens + generated)
