"""The KV cache of a request that calls a tool is dropped, and computed again after it.

It keeps its place in the order of arrivals (the improved discard of InferCept); with tail=1 it goes to the end of the
queue, as in vLLM, where the rest of the request is a new one.
"""

SEES = ("program_arrival", "arrival")
SHAPE = "falling order"
PARAMETERS = {"tail": 0}


def rank(program_arrival, arrival, tail):
    return arrival if tail > 0 else program_arrival


def handle():
    return 1
