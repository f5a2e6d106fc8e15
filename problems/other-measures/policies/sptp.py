"""Shortest processing-time product: max(size, floor) times what is left, best for the mean slowdown of that floor."""

SEES = ("size", "age")
SHAPE = "falling"
PARAMETERS = {"floor": 0.01}


def rank(size, age, floor):
    return max(size, floor) * (size - age)
