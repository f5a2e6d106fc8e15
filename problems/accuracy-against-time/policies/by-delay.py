"""Each request for itself: its predicted error, and its predicted time among those that are there now."""

SEES = ("quality", "time_s", "value_wrong", "value_s")
SHAPE = "decision"
INFORMATION = "predictions"


def decide(quality, time_s, value_wrong, value_s):
    return value_s * time_s - value_wrong * quality
