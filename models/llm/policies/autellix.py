"""Autellix: the program that has got the least service goes first.

Luo et al.: Autellix: an efficient serving engine for LLM agents as general programs (2025). Its programs move down
queues, as FastServe's requests do: a program whose stages that are done have attained less than quantum tokens is in
the first, less than twice as many in the second, four times in the third, and so on. Within a queue the earlier program
is first; a request that has waited starve_s goes before all queues.
"""

SEES = ("attained", "program_arrival", "idle")
SHAPE = "order"
PARAMETERS = {"quantum": 512.0, "starve_s": 60.0, "memory": "tail"}


def rank(attained, program_arrival, idle, quantum, starve_s):
    if idle >= starve_s:
        return -1e9 + program_arrival
    level, top = 0.0, quantum
    while attained >= top and level < 60.0:
        level, top = level + 1.0, 2.0 * top
    return 1e9 * level + program_arrival


def handle():
    return 0
