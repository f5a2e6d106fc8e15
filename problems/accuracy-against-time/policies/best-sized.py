"""As sized, with the `seconds` that are best for these requests in hindsight: the entry tries several."""

SEES = ("model", "quality", "tokens", "value_wrong")
SHAPE = "decision"
INFORMATION = "oracle"
PARAMETERS = {"seconds": 15.0, "mean": 200.0}


def decide(model, quality, tokens, value_wrong, seconds, mean):
    return seconds * model * tokens / mean - value_wrong * quality
