"""Predict every job by the server that serves it, then SPRPT."""

SEES = ()
SHAPE = "decision"
INFORMATION = "predictions"


def decide():
    return -2.0
