"""Speculative shortest job first: by the predicted time of the answer; who has waited too long goes first.

The time is constant_s + token_s for each predicted token. Who has waited most_wait_s, or `patience` times this time,
goes before all others, first come first served. Defaults of Qiu et al.: Efficient interactive LLM serving with proxy
model-based sequence length prediction (2024), where all are served first come first served as long as the one that
waits longest has waited too long.
"""

SEES = ("predicted", "waited")
SHAPE = "order"
INFORMATION = "predictions"
PARAMETERS = {"constant_s": 0.1, "token_s": 0.02, "most_wait_s": 100.0, "patience": 10.0}


def rank(predicted, waited, constant_s, token_s, most_wait_s, patience):
    time = constant_s + token_s * predicted
    return -float("inf") if waited > most_wait_s or waited > patience * time else time
