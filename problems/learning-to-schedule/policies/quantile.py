"""Pinball loss in the log size, its kink rounded to the width `round`: its best score is the log of a quantile."""

import math

SEES = ("score", "size")
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"level": 0.5, "round": 0.1}


def decide(score, size, level, round):
    below = math.log(size) - score
    return level * below + max(-below, 0.0) + round * math.log1p(math.exp(-abs(below) / round))
