"""The program that has attained least service goes first, in levels that double, as in Autellix; no stage is preempted.

quantum: tokens of its stages that are done up to which a program is in the first level.
"""

SEES = ("attained", "program_arrival")
SHAPE = "order"
INFORMATION = "blind"
PARAMETERS = {"quantum": 4096.0}


def rank(attained, program_arrival, quantum):
    level, top = 0.0, quantum
    while attained >= top and level < 60.0:
        level, top = level + 1.0, 2.0 * top
    return 1e9 * level + program_arrival
