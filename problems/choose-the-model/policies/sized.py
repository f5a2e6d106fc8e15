"""As threshold, which rises with the predicted length of the answer: long answers are for small models."""

SEES = ("quality", "price", "value_wrong", "tokens")
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"worth": 0.7, "mean": 200.0}


def decide(quality, price, value_wrong, tokens, worth, mean):
    return worth * price * tokens / mean - value_wrong * quality
