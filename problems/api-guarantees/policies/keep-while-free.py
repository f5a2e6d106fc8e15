"""Contexts stay while nobody needs their memory; the least memory over time still to come, without calls, first."""

SEES = ("service_left",)
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"handling": "lazy", "factor": 1.0, "skip": False}


def decide(service_left):
    return service_left
