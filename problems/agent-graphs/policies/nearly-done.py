"""The program with the most stages behind it, of several the earlier one: structure without sizes."""

SEES = ("stages_done", "program_arrival")
SHAPE = "order"


def rank(stages_done, program_arrival):
    return program_arrival - 1e6 * stages_done
