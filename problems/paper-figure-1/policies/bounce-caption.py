"""The rank that the caption of Figure 1 prints, max(|z - a|, z), which is not the one that it plots."""

SEES = ("predicted", "age")
SHAPE = "general"


def rank(predicted, age):
    return max(abs(predicted - age), predicted)


def turn(predicted, age):
    return 2 * predicted if age < 2 * predicted else float("inf")
