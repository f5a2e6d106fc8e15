"""Always use the predictions, right or wrong."""

SEES = ()
SHAPE = "decision"
INFORMATION = "predictions"


def decide():
    return 1.0
