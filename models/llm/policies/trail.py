"""TRAIL: SPRPT that preempts a running request only until it has made the share c of its first prediction.

Shahout, Malach, Liu, Jiang, Yu, Mitzenmacher: Don't stop me now: embedding based scheduling for LLMs (2024).
It preempts where the batch is full. With c = 0 nobody is preempted but where memory is short.
"""

SEES = ("predicted", "estimate", "generated", "running")
SHAPE = "falling order"
INFORMATION = "predictions"
PARAMETERS = {"preempt": "batch", "c": 0.8}


def rank(predicted, estimate, generated, running, c):
    return -float("inf") if running > 0 and generated > c * predicted else estimate
