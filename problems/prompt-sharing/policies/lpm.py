"""Longest prefix match: the waiting request with the most tokens of its prompt in the cache first."""

SEES = ("cached",)
SHAPE = "order"


def rank(cached):
    return -cached
