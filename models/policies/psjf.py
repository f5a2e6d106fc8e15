"""Preemptive shortest job first: the smallest original size."""

SEES = ("size",)
SHAPE = "falling"


def rank(size):
    return size
