"""Least predicted work of the program that does not come after this stage: small programs, and in each long chains.

remaining_work is that of all stages that are not done, remaining_path less estimate that of the longest chain behind
this stage. What is behind it waits for it; what is beside it does not, so a stage with much beside it can wait.
"""

SEES = ("remaining_work", "remaining_path", "estimate")
SHAPE = "order"


def rank(remaining_work, remaining_path, estimate):
    return remaining_work - (remaining_path - estimate)
