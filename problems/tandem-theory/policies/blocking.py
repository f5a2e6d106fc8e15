"""QNA, with the time that a prompt server stays blocked counted as service."""

SEES = ("blocking",)
SHAPE = "decision"
INFORMATION = "distributions"


def decide(blocking):
    return blocking
