"""Always a machine with the good end points, of these the one with the fewest requests."""

SEES = ("model", "requests")


def score(model, requests):
    return requests + 1e6 * model
