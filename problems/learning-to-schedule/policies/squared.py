"""Squared error of the prediction exp(score): its best score is the log of the mean size given the features."""

import math

SEES = ("score", "size")
SHAPE = "decision"
INFORMATION = "predictions"


def decide(score, size):
    return (math.exp(score) - size) ** 2
