"""SPRPT that preempts a request at most `limit` times, but where memory is short.

It preempts where the batch is full. With limit = 0 nobody is preempted but where memory is short.
"""

SEES = ("estimate", "preempted", "running")
SHAPE = "falling order"
INFORMATION = "predictions"
PARAMETERS = {"preempt": "batch", "limit": 1}


def rank(estimate, preempted, running, limit):
    return -float("inf") if running > 0 and preempted >= limit else estimate
