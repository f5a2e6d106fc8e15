"""No draft: the target model makes one token a step."""

SEES = ("g",)
SHAPE = "decision"


def decide(g):
    return -g
