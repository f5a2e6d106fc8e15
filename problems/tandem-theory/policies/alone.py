"""Nobody else is there: service times and the move, no waiting."""

SEES = ("alone",)
SHAPE = "decision"
INFORMATION = "blind"


def decide(alone):
    return alone
