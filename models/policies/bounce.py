"""SPRPT with bounce: past its prediction a job ranks higher again, at most as high as the prediction."""

SEES = ("predicted", "age")
SHAPE = "general"


def rank(predicted, age):
    return min(abs(predicted - age), predicted)


def turn(predicted, age):
    if age < predicted:
        return predicted
    return 2 * predicted if age < 2 * predicted else float("inf")
