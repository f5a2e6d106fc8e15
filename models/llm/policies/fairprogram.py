"""A fair order of programs, after Justitia, by the virtual time at which each would end if all shared the memory alike.

Justitia (arXiv 2510.17015, 2025) serves programs in the order in which fair sharing would end them, so that none ends
much later than that, and most end sooner. value0 is this time, which programs.fair_finish finds from predicted costs,
tokens in the KV cache times tokens made.
"""

SEES = ("value0",)
SHAPE = "falling order"
INFORMATION = "predictions"


def rank(value0):
    return value0


def handle():
    return 0
