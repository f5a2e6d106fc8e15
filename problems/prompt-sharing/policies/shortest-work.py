"""Shortest work first: new tokens of the prompt at their price in tokens of an answer, and the predicted answer."""

SEES = ("cached", "input_tokens", "predicted")
SHAPE = "order"
PARAMETERS = {"prompt": 0.2}


def rank(cached, input_tokens, predicted, prompt):
    return prompt * (input_tokens - cached) + predicted
