"""Preferential round robin: a share of the server for all jobs alike, the rest for the shortest predicted remaining.

The rest goes to all alike, too, when every job present has outlived its prediction.
"""

SEES = ("queue", "shortest", "overdues")
SHAPE = "decision"
PARAMETERS = {"share": 0.5}
INFORMATION = "predictions"


def decide(queue, shortest, overdues, share):
    if overdues == queue:
        return 1.0
    return share / queue + (1.0 - share) * shortest
