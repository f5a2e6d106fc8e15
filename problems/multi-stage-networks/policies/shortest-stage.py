"""The stage with the least predicted remaining size, whatever comes after it."""

SEES = ("predicted",)
SHAPE = "decision"
INFORMATION = "predictions"


def decide(predicted):
    return predicted
