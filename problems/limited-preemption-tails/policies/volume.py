"""Smallest volume of place and memory first; only lack of memory displaces, then the largest volume to come leaves.

A request that has `left` tokens to make and holds h needs a place in the batch for `left` iterations, and memory over
time of left (h + left / 2) tokens, in units of the 224 tokens of a place: the sum of both is its size. Waiting, it must
have h computed first, of which 14 cost as much as a token of an answer, and its estimate is shrunk towards the mean
since it errs. Running, `price` times h is taken off: what it holds would be computed again. A request starts only if
memory lasts for `ahead` iterations of all that run.
"""

SEES = ("estimate", "input_tokens", "generated", "running", "needed_tokens", "free_tokens", "batch")
SHAPE = "order"
PARAMETERS = {"preempt": False, "shrink": 0.7, "price": 2.0, "ahead": 4.0}


def size(left, held):
    return left * (1.0 + (held + left / 2) / 224.0)


def rank(estimate, input_tokens, generated, running, shrink, price):
    left, held = max(estimate, 1.0), input_tokens + generated
    if running > 0:
        return size(left, held) - price * held
    return size(120.0 * (left / 120.0) ** shrink, held) + held / 14.0


def admit(needed_tokens, free_tokens, batch, ahead):
    return batch == 0 or needed_tokens + ahead * batch <= free_tokens
