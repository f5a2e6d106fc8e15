"""SPRPT that preempts a request only until it has made `limit` times `mean` tokens."""

SEES = ("estimate", "generated", "running")
SHAPE = "falling order"
PARAMETERS = {"preempt": "batch", "limit": 1.0, "mean": 150}


def rank(estimate, generated, running, limit, mean):
    return -float("inf") if running > 0 and generated > limit * mean else estimate
