"""A draw sends a share of the requests to the larger model."""

SEES = ("model", "draw")
SHAPE = "decision"
INFORMATION = "blind"
PARAMETERS = {"share": 0.4}


def decide(model, draw, share):
    return abs(model - (1 if draw < share else 0))
