"""Longest prefix match with a claim by waiting: each second of it counts as `gain` more cached tokens."""

SEES = ("cached", "waited")
SHAPE = "order"
PARAMETERS = {"gain": 200.0}


def rank(cached, waited, gain):
    return -cached - gain * waited
