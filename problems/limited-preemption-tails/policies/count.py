"""SPRPT that preempts a request only until it was preempted `each` times `limit` times."""

SEES = ("estimate", "preempted", "running")
SHAPE = "falling order"
PARAMETERS = {"preempt": "batch", "limit": 1.0, "each": 4}


def rank(estimate, preempted, running, limit, each):
    return -float("inf") if running > 0 and preempted >= limit * each else estimate
