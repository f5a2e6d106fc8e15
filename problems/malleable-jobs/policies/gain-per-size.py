"""Each server goes where it adds the most predicted speed, weighted by a power of the predicted remaining size."""

SEES = ("gain", "predicted", "age")
SHAPE = "decision"
PARAMETERS = {"weight": 0.03, "least": 0.1}


def decide(gain, predicted, age, weight, least):
    # A job that has outlived its prediction counts as one with a tenth of it left.
    return gain * max(predicted - age, least * predicted) ** -weight
