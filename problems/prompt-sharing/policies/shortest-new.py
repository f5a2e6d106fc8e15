"""Shortest new prompt first: the tokens of the prompt that are not in the cache."""

SEES = ("cached", "input_tokens")
SHAPE = "order"


def rank(cached, input_tokens):
    return input_tokens - cached
