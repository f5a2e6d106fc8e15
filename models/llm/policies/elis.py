"""ELIS: iterative shortest remaining time first; the order changes only at the end of a request's window of tokens.

Choi et al.: ELIS, efficient LLM iterative scheduling system with response length predictor (2025). The length that is
left is predicted anew at each window of 50 tokens (give predictions renewed as often); who runs is preempted only where
it has made a whole number of windows.
"""

SEES = ("estimate", "generated", "running")
SHAPE = "order"
INFORMATION = "predictions"
PARAMETERS = {"preempt": True, "window": 50}


def rank(estimate, generated, running, window):
    return -float("inf") if running > 0 and generated % window > 0 else estimate
