"""Fixed batching: the server waits for `batch` requests; all of a batch leave with its longest answer."""

SEES = ()
SHAPE = "decision"
PARAMETERS = {"elastic": False, "batch": 4}


def decide():
    return 0
