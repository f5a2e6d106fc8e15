"""The stage of the job that arrived first."""

SEES = ("arrival",)
SHAPE = "decision"


def decide(arrival):
    return arrival
