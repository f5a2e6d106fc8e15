"""TRAIL with the c that was best over earlier requests of the same kind."""

SEES = ("predicted", "estimate", "generated", "running")
SHAPE = "falling order"
PARAMETERS = {"preempt": "batch", "c": 0.8}


def rank(predicted, estimate, generated, running, c):
    return -float("inf") if running > 0 and generated > c * predicted else estimate
