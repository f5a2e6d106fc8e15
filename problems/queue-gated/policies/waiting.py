"""SPRPT, but nobody has less left than a share of the age, and each unit waited makes a job `weight` shorter."""
# What has lasted will last (Lindy's law): a job that outlives its prediction yields again, the longer the later. The
# wait decides among jobs of about equal rank; a larger weight trades the mean for the tail. All jobs grow shorter at
# one rate, so that the time of arrival says it all and ranks need not be asked for anew.

import math

SEES = ("predicted", "age", "arrival")
SHAPE = "general"
PARAMETERS = {"share": 0.2, "weight": 0.025}


def rank(predicted, age, arrival, share, weight):
    return max(predicted - age, share * age) + weight * arrival


def turn(predicted, age, arrival, share, weight):
    lowest = predicted / (1.0 + share)
    return lowest if age < lowest else math.inf
