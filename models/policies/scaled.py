"""SRPT with scaled estimates: the prediction, cut to beta..alpha times the size, times the share of work left."""

SEES = ("size", "predicted", "age")
SHAPE = "falling"
PARAMETERS = {"beta": 0.0, "alpha": 1e300}


def rank(size, predicted, age, beta, alpha):
    return min(max(predicted, beta * size), alpha * size) * (1 - age / size)
