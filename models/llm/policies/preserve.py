"""First come first served by programs; the KV cache of a request that calls a tool stays where it is."""

SEES = ("program_arrival",)
SHAPE = "falling order"


def rank(program_arrival):
    return program_arrival


def handle():
    return 0
