"""DistServe's formula: M/D/1 at the mean prompt, the answers as a fluid."""

SEES = ("distserve",)
SHAPE = "decision"
INFORMATION = "distributions"


def decide(distserve):
    return distserve
