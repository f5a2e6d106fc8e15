"""Dynamic batching: a free server takes all that wait, and all of a batch leave with its longest answer."""

SEES = ()
SHAPE = "decision"
PARAMETERS = {"elastic": False}


def decide():
    return 0
