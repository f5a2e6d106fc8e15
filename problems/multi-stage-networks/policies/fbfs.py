"""First buffer first served: the stage with the least number of stages before it."""

SEES = ("stage",)
SHAPE = "decision"


def decide(stage):
    return stage
