"""Send every job through the prediction station, then SPRPT."""

SEES = ()
SHAPE = "decision"
INFORMATION = "predictions"


def decide():
    return -4.0
