"""The least predicted cost, by predictions as they are: of an error, of time, of tokens."""

SEES = ("quality", "tokens", "price", "time_s", "slows_s", "value_wrong", "value_s", "value_usd")
SHAPE = "decision"
INFORMATION = "predictions"


def decide(quality, tokens, price, time_s, slows_s, value_wrong, value_s, value_usd):
    return value_wrong * (1.0 - quality) + value_s * (time_s + slows_s) + value_usd * tokens * price / 1e6
