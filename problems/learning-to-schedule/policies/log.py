"""Squared error of the logarithm: its best score is the mean of the log size given the features."""

import math

SEES = ("score", "size")
SHAPE = "decision"
INFORMATION = "predictions"


def decide(score, size):
    return (score - math.log(size)) ** 2
