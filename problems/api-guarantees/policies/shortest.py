"""The least output still to make, and `delay` times the predicted slots of the calls to come, first."""

SEES = ("output_left", "delay_left")
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"delay": 0.0, "handling": "min-waste", "factor": 1.0, "skip": False}


def decide(output_left, delay_left, delay):
    return output_left + delay * delay_left
