"""All interactive requests before all batch requests, each class by arrival; the last in this order has to leave."""

SEES = ("kind",)
SHAPE = "falling order"


def rank(kind):
    return kind
