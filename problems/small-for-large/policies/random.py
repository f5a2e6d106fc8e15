"""To a server at random."""

SEES = ("draw",)


def score(draw):
    return draw
