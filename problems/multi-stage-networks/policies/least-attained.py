"""Least attained service: the job that has got the least in all its stages."""

SEES = ("attained",)
SHAPE = "decision"


def decide(attained):
    return attained
