"""Last buffer first served, or exit priority: the job with the least number of stages left."""

SEES = ("stages_left",)
SHAPE = "decision"


def decide(stages_left):
    return stages_left
