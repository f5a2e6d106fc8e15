"""One bit of the prediction: short before long; if preemptive, a short takes the server from any job."""

SEES = ("predicted", "arrival", "age")
SHAPE = "falling"
PARAMETERS = {"threshold": "optimal", "preemptive": True}


def rank(predicted, arrival, age, threshold, preemptive):
    short = predicted < threshold
    if preemptive:
        return -arrival if short else 0.0
    if age > 0:
        return -float("inf")
    return 0.0 if short else 1.0
