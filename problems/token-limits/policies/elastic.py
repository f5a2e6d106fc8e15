"""Elastic batching: a free server takes all that wait; who has all its tokens leaves, and the others go on faster."""

SEES = ()
SHAPE = "decision"
PARAMETERS = {"elastic": True}


def decide():
    return 0
