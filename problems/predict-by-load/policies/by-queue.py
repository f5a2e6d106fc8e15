"""Predict a job that finds at least `least` and at most `most` others; the rest stand at rank `level`, FIFO."""

SEES = ("queue",)
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"least": 1.0, "most": 1e9, "level": 1.0}


def decide(queue, least, most, level):
    return -2.0 if least <= queue <= most else level
