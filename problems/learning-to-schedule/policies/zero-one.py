"""Logistic stand-in for the error of one bit: is the size above the threshold? Errors weigh |size - threshold|**power.

With power 0 every wrong bit counts the same; with power 1 it counts what it costs the queue to first order.
"""

import math

SEES = ("score", "size", "threshold")
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"power": 0.0}


def decide(score, size, threshold, power):
    margin = score - math.log(threshold)
    wrong = -margin if size > threshold else margin
    return abs(size - threshold) ** power * (max(wrong, 0.0) + math.log1p(math.exp(-abs(wrong))))
