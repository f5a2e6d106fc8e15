"""Predict every job on arrival, then serve by SPRPT."""

SEES = ()
SHAPE = "decision"
INFORMATION = "predictions"


def decide():
    return -2.0
