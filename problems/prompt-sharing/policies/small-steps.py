"""Fewest new tokens first, less `gain` for each second waited, and few in an iteration: its first tokens come together.

Prompts of an iteration all wait for its end. Where an iteration of more than about `most` new tokens takes longer in
proportion, nothing is gained by computing them together, and the first of two would be ready earlier on its own.
"""

SEES = ("cached", "input_tokens", "waited", "admitted", "admitted_tokens")
SHAPE = "order"
PARAMETERS = {"most": 500.0, "gain": 200.0}


def rank(cached, input_tokens, waited, gain):
    return input_tokens - cached - gain * waited


def admit(cached, input_tokens, admitted, admitted_tokens, most):
    return admitted == 0 or admitted_tokens + input_tokens - cached <= most
