"""A queue at random, whatever is there."""

SEES = ()
SHAPE = "decision"
PARAMETERS = {"service": "point"}


def decide():
    return 0.0
