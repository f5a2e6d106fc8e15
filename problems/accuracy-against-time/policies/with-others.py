"""As by-delay, and `others` times the time that the request adds to those of the requests that are there."""

SEES = ("quality", "time_s", "slows_s", "value_wrong", "value_s")
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"others": 1.0}


def decide(quality, time_s, slows_s, value_wrong, value_s, others):
    return value_s * (time_s + others * slows_s) - value_wrong * quality
