"""Page-Hinkley test of |log(predicted/size)| against its own mean since the last change, up and then down.

It needs no reference for good predictions: a rise of the error above its running mean ends the trust, a fall
below it brings it back.
"""

import math

SEES = ("predicted", "size", "trust", "memory")
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"slack": 0.5, "limit": 12.0, "largest": 3.0}


def decide(predicted, size, trust, memory, slack, limit, largest):
    error = min(abs(math.log(predicted / size)), largest)
    memory[0] += 1.0
    memory[1] += (error - memory[1]) / memory[0]
    rise = error - memory[1] if trust > 0.5 else memory[1] - error
    memory[2] += rise - slack
    memory[3] = min(memory[3], memory[2])
    if memory[2] - memory[3] > limit:
        for k in range(4):
            memory[k] = 0.0
        return 1.0 - trust
    return trust
