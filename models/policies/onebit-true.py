"""One bit of the true size: short before long; if preemptive, a short takes the server from any job."""

SEES = ("size", "arrival", "age")
SHAPE = "falling"
PARAMETERS = {"threshold": "optimal", "preemptive": True}


def rank(size, arrival, age, threshold, preemptive):
    short = size < threshold
    if preemptive:
        return -arrival if short else 0.0
    if age > 0:
        return -float("inf")
    return 0.0 if short else 1.0
