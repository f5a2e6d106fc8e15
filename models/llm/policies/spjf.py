"""Shortest predicted job first: by the first prediction; preempts only where memory is short."""

SEES = ("predicted",)
SHAPE = "falling order"
INFORMATION = "predictions"


def rank(predicted):
    return predicted
