"""Logistic loss of the order of two jobs, weighed by |difference of their sizes|**power.

With power 0 every pair in the wrong order counts the same. With power 1 it counts the time that the wrong order
costs these two jobs when they wait together.
"""

import math

SEES = ("score", "size", "other_score", "other_size")
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"power": 0.0}


def decide(score, size, other_score, other_size, power):
    wrong = other_score - score if size > other_size else score - other_score
    return abs(size - other_size) ** power * (max(wrong, 0.0) + math.log1p(math.exp(-abs(wrong))))
