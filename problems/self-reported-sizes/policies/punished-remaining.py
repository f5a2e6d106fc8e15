"""Least remaining of the report first; a job that outlives its report goes behind all that have not."""

SEES = ("predicted", "age")
SHAPE = "general"


def rank(predicted, age):
    return predicted - age if age < predicted else 1e9


def turn(predicted, age):
    return predicted if age < predicted else float("inf")
