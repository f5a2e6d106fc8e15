"""Dynamic batching: a free server takes all that wait, or the `most` oldest (0: no limit)."""

SEES = ()
SHAPE = "decision"
PARAMETERS = {"least": 1, "most": 0}


def decide():
    return 0
