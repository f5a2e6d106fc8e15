"""SPRPT that preempts a request only until it holds more than `limit` times `mean` tokens, its prompt among them."""

SEES = ("estimate", "input_tokens", "generated", "running")
SHAPE = "falling order"
PARAMETERS = {"preempt": "batch", "limit": 1.0, "mean": 250}


def rank(estimate, input_tokens, generated, running, limit, mean):
    return -float("inf") if running > 0 and input_tokens + generated > limit * mean else estimate
