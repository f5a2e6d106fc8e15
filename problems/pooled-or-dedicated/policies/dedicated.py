"""`dedicated` of the servers compute prompts, the others decode."""

SEES = ("prefill",)
SHAPE = "decision"
PARAMETERS = {"dedicated": 4}


def decide(prefill, dedicated):
    return abs(prefill - dedicated) if prefill > 0 else 1e9
