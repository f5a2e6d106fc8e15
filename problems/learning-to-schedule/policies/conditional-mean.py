"""No learning: the mean size given the features, from the law that draws them; the best order without preemption."""

import math

SEES = ("mean",)
SHAPE = "decision"
INFORMATION = "distributions"


def decide(mean):
    return math.log(mean)
