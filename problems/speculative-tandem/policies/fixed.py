"""The same number of tokens in every cycle, by the same draft model."""

SEES = ("g", "draft")
SHAPE = "decision"
PARAMETERS = {"length": 4, "model": 0}


def decide(g, draft, length, model):
    return -abs(g - length) - 100 * abs(draft - model)
