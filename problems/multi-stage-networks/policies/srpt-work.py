"""The job with the least predicted remaining work, summed over its stages."""

SEES = ("remaining_work",)
SHAPE = "decision"
INFORMATION = "predictions"


def decide(remaining_work):
    return remaining_work
