"""MC-SF: the shortest predicted output first, while the memory lasts at every predicted completion."""

SEES = ("predicted",)
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"rule": "look-ahead", "estimate": "predicted", "skip": False}


def decide(predicted):
    return predicted
