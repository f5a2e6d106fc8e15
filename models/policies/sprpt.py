"""Shortest predicted remaining processing time: prediction less age; below zero nothing preempts."""

SEES = ("predicted", "age")
SHAPE = "falling"


def rank(predicted, age):
    return predicted - age
