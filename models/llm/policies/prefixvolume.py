"""Smallest volume first, of what the prefix cache does not hold, in a server with such a cache.

The volume of Kong, Qi, Ye, Zhou (2026) with the tokens of the prompt that must still be computed, s less those cached,
and a predicted answer of o tokens: (s - cached) o + o (o + 1) / 2.
"""

SEES = ("input_tokens", "cached", "predicted")
SHAPE = "order"
INFORMATION = "predictions"
PARAMETERS = {"prefix_cache": True}


def rank(input_tokens, cached, predicted):
    return (input_tokens - cached) * predicted + predicted * (predicted + 1.0) / 2.0
