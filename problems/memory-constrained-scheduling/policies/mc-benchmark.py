"""MC-Benchmark: first come first served, while the memory lasts at every predicted completion."""

SEES = ("arrival", "predicted")
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"rule": "look-ahead", "estimate": "predicted", "skip": False}


def decide(arrival, predicted):
    return arrival
