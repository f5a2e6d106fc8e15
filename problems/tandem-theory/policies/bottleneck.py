"""Heavy traffic: a queue at the busier station alone, with the variability from outside."""

SEES = ("bottleneck",)
SHAPE = "decision"
INFORMATION = "distributions"


def decide(bottleneck):
    return bottleneck
