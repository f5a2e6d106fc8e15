"""First come first served; every branch holds the KV cache of its whole prompt."""

SEES = ("arrival",)
SHAPE = "falling order"
INFORMATION = "blind"


def rank(arrival):
    return arrival
