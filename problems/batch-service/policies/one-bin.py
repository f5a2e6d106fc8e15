"""Full batches in the order of arrival, whatever the lengths."""

SEES = ()
SHAPE = "decision"


def decide():
    return 0
