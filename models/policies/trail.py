"""TRAIL: SPRPT that no longer lets a job be preempted once it has had the share c of its prediction."""

SEES = ("predicted", "age")
SHAPE = "falling"
PARAMETERS = {"c": 0.8}


def rank(predicted, age, c):
    return -float("inf") if age > 0 and age >= c * predicted else predicted - age
