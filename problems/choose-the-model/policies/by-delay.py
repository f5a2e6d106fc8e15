"""The least predicted cost of the request: of an error, of its time among those that are there now, of its tokens."""

SEES = ("quality", "tokens", "price", "time_s", "value_wrong", "value_s", "value_usd")
SHAPE = "decision"
INFORMATION = "predictions"


def decide(quality, tokens, price, time_s, value_wrong, value_s, value_usd):
    return value_wrong * (1.0 - quality) + value_s * time_s + value_usd * tokens * price / 1e6
