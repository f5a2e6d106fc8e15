"""Gittins' index: the best policy for the law at hand, which it is told; no policy that does not know sizes beats it.

kind 0: exact predictions; 1: factor or 1 / factor by a fair coin; 2: below `threshold` factor, from there on
1 / factor; 3: the order turned round in blocks. Sizes have the density x^(shape-1) exp(-(x / scale)^shape).
A prediction leaves one or two possible sizes: with two, low < high, the rank is the least over "until low" and
"until high" of the expected service over the probability to be done by then.
"""

import math

SEES = ("predicted", "age")
SHAPE = "general"
PARAMETERS = {"kind": 0, "factor": 1, "threshold": 1, "shape": 1, "scale": 1}
INFORMATION = "distributions"


def rank(predicted, age, kind, factor, threshold, shape, scale):
    if kind == 0:
        return predicted - age
    if kind == 3:
        place = math.log(predicted) / math.log(factor)
        return predicted * math.exp((2.0 * math.ceil(place) - 1.0 - 2.0 * place) * math.log(factor)) - age
    # A hair more than the smaller size, so that a job of this size has ended by then.
    low, high = predicted / factor * (1.0 + 1e-9), predicted * factor
    odds = factor ** (2.0 * shape) * math.exp((low / scale) ** shape - (high / scale) ** shape)
    if kind == 2 and high < threshold:
        odds = 0.0
    if age >= low or (kind == 2 and low >= threshold):
        return high - age
    return min((low - age) * (1.0 + odds), (low + odds * high) / (1.0 + odds) - age)


def turn(predicted, age, kind, factor, threshold, shape, scale):
    low = predicted / factor * (1.0 + 1e-9)
    return low if 0 < kind < 3 and age < low else math.inf
