"""As RouteLLM: the larger model where its predicted gain in quality is worth more than so many seconds."""

SEES = ("model", "quality", "value_wrong")
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"seconds": 15.0}


def decide(model, quality, value_wrong, seconds):
    return seconds * model - value_wrong * quality
