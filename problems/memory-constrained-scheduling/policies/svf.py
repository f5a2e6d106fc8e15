"""SVF: the smallest predicted volume (tokens times slots) first, while the memory lasts at every completion."""

SEES = ("prompt", "predicted")
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"rule": "look-ahead", "estimate": "predicted", "skip": False}


def decide(prompt, predicted):
    return prompt * predicted + predicted * (predicted + 1) / 2
