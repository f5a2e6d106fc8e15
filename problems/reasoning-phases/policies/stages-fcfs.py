"""First come first served by stages, whatever program they belong to."""

SEES = ("arrival",)
SHAPE = "falling order"
INFORMATION = "blind"


def rank(arrival):
    return arrival
