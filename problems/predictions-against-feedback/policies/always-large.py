"""The larger model answers everything."""

SEES = ("model",)
SHAPE = "decision"
INFORMATION = "blind"


def decide(model):
    return -model
