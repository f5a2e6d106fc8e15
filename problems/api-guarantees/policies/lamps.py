"""LAMPS: the least memory over time still to come first, calls included in the handling that wastes the least."""

SEES = ("service_left", "call_left")
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"delay": 1.0, "handling": "min-waste", "factor": 1.0, "skip": False}


def decide(service_left, call_left, delay):
    return service_left + delay * call_left
