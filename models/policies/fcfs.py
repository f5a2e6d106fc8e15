"""First come first served (FIFO): blind and non-preemptive, the floor of most questions."""

SEES = ("arrival",)
SHAPE = "falling"


def rank(arrival):
    return arrival
