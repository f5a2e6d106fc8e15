"""The machine with the fewest requests, whatever its end points are worth."""

SEES = ("requests",)


def score(requests):
    return requests
