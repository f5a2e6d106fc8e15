"""In turn: to the server that was sent a request longest ago."""

SEES = ("since_routed",)


def score(since_routed):
    return -since_routed
