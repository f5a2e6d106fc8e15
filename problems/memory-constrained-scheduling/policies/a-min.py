"""A_min: the shortest lower end of the predicted interval first, raised by what was made; evicts when memory ends."""

SEES = ("lower",)
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"rule": "evict", "estimate": "lower", "skip": False}


def decide(lower):
    return lower
