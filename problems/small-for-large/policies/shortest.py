"""To the server with the fewest requests."""

SEES = ("requests",)


def score(requests):
    return requests
