"""Station, but a job passes it by when at most `idle` wait for the server or `most` are at the station already.

A job that is not predicted stands at rank `level` among predicted remaining times, first come first served.
"""

SEES = ("queue", "predicting")
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"idle": 0.0, "most": 1e9, "level": 1.0}


def decide(queue, predicting, idle, most, level):
    if queue - predicting <= idle or predicting >= most:
        return level
    return -4.0
