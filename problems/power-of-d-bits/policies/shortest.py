"""The queue with the fewest jobs of those asked; with choices=all it is join-the-shortest-queue."""

SEES = ("count",)
SHAPE = "decision"
PARAMETERS = {"choices": "point"}


def decide(count):
    return count
