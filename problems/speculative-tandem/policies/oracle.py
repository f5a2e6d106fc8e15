"""Most tokens a second by the true acceptance of each request; tokens not worth their time are not drafted."""

SEES = ("tokens_true", "time_ms")
SHAPE = "decision"
INFORMATION = "oracle"
PARAMETERS = {"least": "price", "cut": "true"}


def decide(tokens_true, time_ms):
    return tokens_true / time_ms
