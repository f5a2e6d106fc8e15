"""Shortest remaining processing time: by the true tokens still to make; preempts."""

SEES = ("left",)
SHAPE = "falling order"
INFORMATION = "oracle"
PARAMETERS = {"preempt": True}


def rank(left):
    return left
