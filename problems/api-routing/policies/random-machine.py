"""A machine at random."""

SEES = ("draw",)


def score(draw):
    return draw
