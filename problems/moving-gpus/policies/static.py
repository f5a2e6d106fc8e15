"""The servers keep the phases that they began with."""

SEES = ("share",)


def control(share):
    return share
