"""First come first served by programs: all stages of an earlier program go before those of a later one."""

SEES = ("program_arrival",)
SHAPE = "falling order"
INFORMATION = "blind"


def rank(program_arrival):
    return program_arrival
