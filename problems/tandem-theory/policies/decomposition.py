"""Whitt's QNA: two moments of sizes and of the times between departures."""

SEES = ("decomposition",)
SHAPE = "decision"
INFORMATION = "distributions"


def decide(decomposition):
    return decomposition
