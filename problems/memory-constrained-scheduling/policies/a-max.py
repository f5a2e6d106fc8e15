"""A_max: the shortest upper end of the predicted interval first, and memory for the upper ends."""

SEES = ("upper",)
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"rule": "look-ahead", "estimate": "upper", "skip": False}


def decide(upper):
    return upper
