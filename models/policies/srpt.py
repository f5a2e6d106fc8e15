"""Shortest remaining processing time: the least work left, optimal when sizes are known."""

SEES = ("size", "age")
SHAPE = "falling"


def rank(size, age):
    return size - age
