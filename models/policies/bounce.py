"""SPRPT with bounce: predicted remaining time, which rises again, at most to the prediction, once that is outlived."""

SEES = ("predicted", "age")
SHAPE = "general"


def rank(predicted, age):
    return min(abs(predicted - age), predicted)


def turn(predicted, age):
    if age < predicted:
        return predicted
    return 2 * predicted if age < 2 * predicted else float("inf")
