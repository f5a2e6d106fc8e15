"""Shortest predicted remaining processing time: prediction less age; a job that outlives it is not preempted."""

SEES = ("predicted", "age")
SHAPE = "falling"


def rank(predicted, age):
    return predicted - age
