"""Trust while jobs that end one after the other are, often enough, in the order that their predictions gave.

The moving average of concordant pairs is 1/2 for predictions that say nothing. It does not depend on the scale
of the predictions, as the order of service does not.
"""

SEES = ("predicted", "size", "trust", "memory")
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"weight": 0.03, "least": 0.6}


def decide(predicted, size, trust, memory, weight, least):
    if memory[3] == 0.0:
        memory[0] = 1.0
        memory[3] = 1.0
    else:
        agrees = 1.0 if (predicted - memory[1]) * (size - memory[2]) > 0.0 else 0.0
        memory[0] += weight * (agrees - memory[0])
    memory[1] = predicted
    memory[2] = size
    return 1.0 if memory[0] > least else 0.0
