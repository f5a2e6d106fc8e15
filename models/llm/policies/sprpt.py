"""Shortest predicted remaining processing time: by the estimate of the tokens still to make.

Preempts where the batch is full, see srpt.py: with preempt=true it thrashes where memory is short.
"""

SEES = ("estimate",)
SHAPE = "falling order"
INFORMATION = "predictions"
PARAMETERS = {"preempt": "batch"}


def rank(estimate):
    return estimate
