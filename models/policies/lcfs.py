"""Last come first served, preemptive: an arrival always takes the server."""

SEES = ("arrival",)
SHAPE = "falling"


def rank(arrival):
    return -arrival
