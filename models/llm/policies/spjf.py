"""Shortest predicted job first: by the first prediction; preempts only where memory is short."""

SEES = ("score",)
SHAPE = "falling order"
INFORMATION = "predictions"


def rank(score):
    return score
