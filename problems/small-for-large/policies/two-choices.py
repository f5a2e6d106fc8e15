"""To the one of two servers drawn at random that has fewer requests."""

SEES = ("requests",)
PARAMETERS = {"choices": 2}


def score(requests):
    return requests
