"""Predict a job with probability `share`; the others stand at rank `level`, first come first served among them."""

SEES = ("draw",)
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"share": 0.5, "level": 1.0}


def decide(draw, share, level):
    return -2.0 if draw < share else level
