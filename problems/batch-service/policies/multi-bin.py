"""Multi-bin batching: full batches of requests whose lengths lie in the same of `bins` intervals of equal width.

`size` is the request's place between the shortest and the longest, from 0 to 1.
"""

SEES = ("size",)
SHAPE = "decision"
PARAMETERS = {"bins": 4}


def decide(size, bins):
    return min(int(size * bins), int(bins) - 1)
