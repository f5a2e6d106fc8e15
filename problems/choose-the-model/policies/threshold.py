"""As RouteLLM: a larger model where its predicted gain in quality exceeds a threshold, in proportion to its price."""

SEES = ("quality", "price", "value_wrong")
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"worth": 0.7}


def decide(quality, price, value_wrong, worth):
    return worth * price - value_wrong * quality
