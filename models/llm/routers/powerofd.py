"""The shorter queue of two instances drawn at random; choices=d: of d."""

SEES = ("requests",)
PARAMETERS = {"choices": 2}


def score(requests):
    return requests
