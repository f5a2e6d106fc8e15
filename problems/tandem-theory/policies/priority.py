"""Blocking, with waiting scaled by what the order does to it in M/G/1."""

SEES = ("priority",)
SHAPE = "decision"
INFORMATION = "distributions"


def decide(priority):
    return priority
