"""Interactive requests to the first `share` of the instances, batch requests to the rest, each to the shortest queue.

An instance of the other class costs `away` requests more, so that a class overflows where its own are that much longer.
"""

SEES = ("kind", "index", "requests", "instances")
PARAMETERS = {"share": 0.5, "away": 1e9}


def score(kind, index, requests, instances, share, away):
    interactive = index < share * instances
    return requests + (0.0 if interactive == (kind < 0.5) else away)
