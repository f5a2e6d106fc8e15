"""As shared, but one branch leads: a prompt that is not cached starts only if no other started in this iteration.

So the others of its question find it in the cache, instead of computing it beside it.
"""

SEES = ("arrival", "cached", "input_tokens", "admitted")
SHAPE = "falling order"
INFORMATION = "blind"
PARAMETERS = {"prefix_cache": True}


def rank(arrival):
    return arrival


def admit(cached, input_tokens, admitted):
    return admitted == 0 or input_tokens - cached <= 32
