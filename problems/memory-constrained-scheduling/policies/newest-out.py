"""First come first served while the next slot fits, without predictions; the newest is stopped when memory ends."""

SEES = ("arrival",)
SHAPE = "decision"
PARAMETERS = {"rule": "last", "estimate": "next", "skip": False, "alpha": 0.0}


def decide(arrival):
    return arrival
