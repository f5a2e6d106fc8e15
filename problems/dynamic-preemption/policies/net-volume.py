"""Smallest volume of place and memory first; only lack of memory displaces, then the largest volume to come leaves.

A request that has `left` tokens to make and holds h needs a place in the batch for `left` iterations and memory over
time of left (h + left / 2) tokens, in units of the memory of a place (`room`): the sum of both is its size. Waiting, it
must have its h tokens computed first, of which a place makes `prompt` in an iteration, and its estimate is shrunk
towards the mean, as the law of the errors says. Running, its h tokens would be computed again: it is the less likely to
leave the more it holds. A request starts only if memory lasts for `ahead` iterations of all that run.
"""

SEES = ("estimate", "input_tokens", "generated", "running", "needed_tokens", "free_tokens", "batch")
SHAPE = "order"
PARAMETERS = {"preempt": False, "room": 224.0, "prompt": 14.0, "shrink": 0.7, "ahead": 4.0}


def size(left, held, room):
    return left * (1.0 + (held + left / 2) / room)


def rank(estimate, input_tokens, generated, running, room, prompt, shrink):
    left, held = max(estimate, 1.0), input_tokens + generated
    if running > 0:
        return size(left, held, room) - held
    return size(120.0 * (left / 120.0) ** shrink, held, room) + held / prompt


def admit(needed_tokens, free_tokens, batch, ahead):
    return batch == 0 or needed_tokens + ahead * batch <= free_tokens
