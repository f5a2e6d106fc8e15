"""Alpha-protection: first come first served while a share alpha of the memory stays free; an overflow stops all."""

SEES = ("arrival",)
SHAPE = "decision"
PARAMETERS = {"rule": "clear", "estimate": "next", "skip": False, "alpha": 0.25}


def decide(arrival):
    return arrival
