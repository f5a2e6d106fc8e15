"""Each instance in turn: all scores are equal, so the one that was sent a request longest ago is next."""

SEES = ()


def score():
    return 0.0
