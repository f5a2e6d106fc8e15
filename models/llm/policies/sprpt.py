"""Shortest predicted remaining processing time: by the estimate of the tokens still to make; preempts."""

SEES = ("estimate",)
SHAPE = "falling order"
INFORMATION = "predictions"
PARAMETERS = {"preempt": True}


def rank(estimate):
    return estimate
