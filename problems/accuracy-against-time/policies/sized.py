"""As threshold, with seconds in proportion to the predicted tokens: `seconds` for an answer of mean length."""

SEES = ("model", "quality", "tokens", "value_wrong")
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"seconds": 15.0, "mean": 200.0}


def decide(model, quality, tokens, value_wrong, seconds, mean):
    return seconds * model * tokens / mean - value_wrong * quality
