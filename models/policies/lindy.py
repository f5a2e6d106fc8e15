"""SPRPT, but nobody has less left than a share of the age: what has lasted will last (Lindy's law)."""

import math

SEES = ("predicted", "age")
SHAPE = "general"
PARAMETERS = {"share": 0.25}


def rank(predicted, age, share):
    return max(predicted - age, share * age)


def turn(predicted, age, share):
    lowest = predicted / (1.0 + share)
    return lowest if age < lowest else math.inf
