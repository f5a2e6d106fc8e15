"""As trust, with predictions that are told of every change of the models."""

SEES = ("fair", "factor", "tokens", "price", "time_s", "slows_s", "value_wrong", "value_s", "value_usd")
SHAPE = "decision"
INFORMATION = "oracle"


def decide(fair, factor, tokens, price, time_s, slows_s, value_wrong, value_s, value_usd):
    return value_wrong * (1.0 - fair) + value_s * factor * (time_s + slows_s) + value_usd * tokens * price / 1e6
