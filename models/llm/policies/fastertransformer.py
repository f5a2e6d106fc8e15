"""FasterTransformer: first come first served, a batch is finished before the next begins, memory reserved."""

SEES = ("arrival",)
SHAPE = "falling order"
PARAMETERS = {"mechanism": "fastertransformer"}


def rank(arrival):
    return arrival
