"""Smallest report first; whenever a job has got as much service as its rank says, the rank is doubled."""

import math

SEES = ("predicted", "age")
SHAPE = "general"


def rank(predicted, age):
    return predicted if age < predicted else predicted * 2.0 ** (math.floor(math.log2(age / predicted)) + 1.0)


def turn(predicted, age):
    return predicted if age < predicted else predicted * 2.0 ** (math.floor(math.log2(age / predicted)) + 1.0)
