"""Shortest job first, non-preemptive: the smallest size, never interrupted."""

SEES = ("size", "age")
SHAPE = "falling"


def rank(size, age):
    return size if age == 0 else -float("inf")
