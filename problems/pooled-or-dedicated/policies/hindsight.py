"""The organisation that misses least, found by trying each on the requests to come, with links that take no time."""

SEES = ("missed",)
SHAPE = "decision"
INFORMATION = "oracle"
PARAMETERS = {"free_links": 1}


def decide(missed):
    return missed
