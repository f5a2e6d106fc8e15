"""First come first served at each station, by the time at which a stage became ready."""

SEES = ("ready",)
SHAPE = "decision"


def decide(ready):
    return ready
