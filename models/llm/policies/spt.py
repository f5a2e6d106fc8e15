"""Shortest predicted processing time of the whole request: a token of the prompt counts `prompt` of the answer.

`prompt` is the time to compute a token of a prompt over the server's time for a token of the answer, which depends on
hardware and batch.
"""

SEES = ("predicted", "input_tokens")
SHAPE = "falling order"
INFORMATION = "predictions"
PARAMETERS = {"prompt": 0.2}


def rank(predicted, input_tokens, prompt):
    return predicted + prompt * input_tokens
