"""SPRPT that preempts a request only while it is expected to make at least `mean` / `limit` more tokens."""

SEES = ("estimate", "running")
SHAPE = "falling order"
PARAMETERS = {"preempt": "batch", "limit": 1.0, "mean": 150}


def rank(estimate, running, limit, mean):
    return -float("inf") if running > 0 and estimate * limit < mean else estimate
