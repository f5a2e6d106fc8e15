"""Least slack first: the deadline less the time that the prompt, and of a batch request the predicted answer, take."""

SEES = ("kind", "deadline", "input_tokens", "predicted")
SHAPE = "falling order"
PARAMETERS = {"prompt_s": 0.0004, "token_s": 0.1}


def rank(kind, deadline, input_tokens, predicted, prompt_s, token_s):
    slack = deadline - prompt_s * input_tokens
    return slack - token_s * predicted if kind == 1 else slack
