"""By the true difficulty and length, where the chance of a right answer rises most a token; answers are not seen."""

import math

SEES = ("spent", "success", "tokens", "bend")
SHAPE = "decision"
INFORMATION = "oracle"


def decide(spent, success, tokens, bend):
    # The chance is success (1 - exp(-bend x)) / (1 - exp(-bend)) after the share x: by its slope if it is concave,
    # else by its mean rise up to the end, since whoever begins such a chain should end it.
    x = spent / tokens
    if bend > 0:
        return -success / tokens * bend * math.exp(-bend * x) / (1.0 - math.exp(-bend))
    return -success / tokens * (math.exp(-bend * x) - math.exp(-bend)) / (1.0 - math.exp(-bend)) / (1.0 - x)
