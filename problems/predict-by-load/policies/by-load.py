"""Predict a job when the current load is above `above`; others stand at rank `level`, first come first served."""

SEES = ("load",)
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"above": 0.6, "level": 1.0}


def decide(load, above, level):
    return -2.0 if load > above else level
