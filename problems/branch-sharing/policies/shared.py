"""First come first served; branches share what the cache holds of their prompt when they start."""

SEES = ("arrival",)
SHAPE = "falling order"
INFORMATION = "blind"
PARAMETERS = {"prefix_cache": True}


def rank(arrival):
    return arrival
