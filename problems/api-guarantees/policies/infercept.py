"""INFERCEPT: first come first served, and each context handled so that it wastes the least memory over time."""

SEES = ("arrival",)
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"handling": "min-waste", "factor": 1.0, "skip": False}


def decide(arrival):
    return arrival
