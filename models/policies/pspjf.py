"""Preemptive shortest predicted job first: the smallest prediction, whatever its age."""

SEES = ("predicted",)
SHAPE = "falling"


def rank(predicted):
    return predicted
