"""All get alike: the next slice goes to the question that has had the fewest tokens."""

SEES = ("spent",)
SHAPE = "decision"
INFORMATION = "blind"


def decide(spent):
    return spent
