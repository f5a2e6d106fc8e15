"""Least predicted work left of the program, where each second since its arrival takes `per_s` tokens off.

The time is the same for all, so the order is that of the work left plus per_s times the arrival: between least work
(per_s = 0) and first come first served by programs (per_s large).
"""

SEES = ("remaining_work", "program_arrival")
SHAPE = "order"
PARAMETERS = {"per_s": 20.0}


def rank(remaining_work, program_arrival, per_s):
    return remaining_work + per_s * program_arrival
