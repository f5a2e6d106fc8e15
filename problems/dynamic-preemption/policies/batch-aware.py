"""TRAIL with c = 1 while more requests wait than `ratio` times the batch, and no preemption in a full batch else."""

SEES = ("predicted", "estimate", "generated", "running", "batch", "waiting")
SHAPE = "falling order"
PARAMETERS = {"preempt": "batch", "most": 32, "ratio": 0.5}


def rank(predicted, estimate, generated, running):
    return -float("inf") if running > 0 and generated > predicted else estimate


def admit(batch, waiting, most, ratio):
    return batch < most or waiting > ratio * batch
