"""The placement that misses least of the few that are least busy and the pooled ones, found by trying each."""

SEES = ("missed",)
SHAPE = "decision"
INFORMATION = "oracle"


def decide(missed):
    return missed
