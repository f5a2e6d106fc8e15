"""Another simulation of the same length: its error is the noise of the simulation."""

SEES = ("again",)
SHAPE = "decision"
INFORMATION = "oracle"


def decide(again):
    return again
