"""Longest prefix match: the most prompt tokens in the prefix cache first, then first come first served.

Of SGLang (Zheng et al. 2024). Nobody is preempted but where memory is short, the latest arrival then.
"""

SEES = ("cached", "running")
SHAPE = "order"
PARAMETERS = {"prefix_cache": True}


def rank(cached, running):
    return -float("inf") if running > 0 else -cached
