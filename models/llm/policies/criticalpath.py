"""Shortest remaining path: by the predicted output tokens of the longest chain of stages still to be run.

With work=1 by those of all stages of the program that are not done: the order of Dynasor, the program with the least
left first (Fu et al.: Efficiently serving LLM reasoning programs with Certaindex, 2024).
"""

SEES = ("remaining_path", "remaining_work")
SHAPE = "order"
PARAMETERS = {"work": 0}


def rank(remaining_path, remaining_work, work):
    return remaining_work if work > 0 else remaining_path


def handle():
    return 0
