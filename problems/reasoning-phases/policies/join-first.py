"""Stages that aggregate go first, then first come first served by stages: short, and others wait for them."""

SEES = ("value0", "arrival")
SHAPE = "falling order"
INFORMATION = "blind"


def rank(value0, arrival):
    return arrival - 1e9 * value0
