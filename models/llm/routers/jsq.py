"""Join the shortest queue, by requests."""

SEES = ("requests",)


def score(requests):
    return requests
