"""All servers do both phases; `aware` 0: by the shortest queue, 1: by the least expected delay."""

SEES = ("dedicated", "by_delay")
SHAPE = "decision"
PARAMETERS = {"aware": 1}


def decide(dedicated, by_delay, aware):
    return 0 if dedicated == 0 and by_delay == aware else 1
