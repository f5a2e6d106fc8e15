"""The predicted curve, renewed at run time by what is seen: which chains have not ended yet."""

SEES = ("rate_running",)
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"classes": 0}


def decide(rate_running):
    return -rate_running
