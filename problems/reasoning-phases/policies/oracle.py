"""Shortest remaining work of the program, by the true lengths of its stages."""

SEES = ("remaining_work",)
SHAPE = "order"
INFORMATION = "oracle"


def rank(remaining_work):
    return remaining_work
