"""Shortest predicted job first, non-preemptive: the smallest prediction, never interrupted."""

SEES = ("predicted", "age")
SHAPE = "falling"


def rank(predicted, age):
    return predicted if age == 0 else -float("inf")
