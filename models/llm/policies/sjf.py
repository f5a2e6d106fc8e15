"""Shortest job first: by the true number of output tokens; preempts nobody but where memory is short."""

SEES = ("output_tokens",)
SHAPE = "falling order"
INFORMATION = "oracle"


def rank(output_tokens):
    return output_tokens
