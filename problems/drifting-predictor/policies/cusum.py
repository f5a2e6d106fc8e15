"""CUSUM (Page, 1954) of |log(predicted/size)|: trust ends when errors above `reference` add up to `limit`.

While predictions are not used, a second sum of the errors below `reference` brings the trust back.
"""

import math

SEES = ("predicted", "size", "trust", "memory")
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"reference": 0.9, "limit": 6.0, "largest": 3.0}


def decide(predicted, size, trust, memory, reference, limit, largest):
    error = min(abs(math.log(predicted / size)), largest)
    step = error - reference if trust > 0.5 else reference - error
    memory[0] = max(memory[0] + step, 0.0)
    if memory[0] > limit:
        memory[0] = 0.0
        return 1.0 - trust
    return trust
