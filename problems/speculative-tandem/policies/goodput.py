"""Most tokens a second, if drafts are as often right as they have been so far."""

SEES = ("tokens_seen", "time_ms")
SHAPE = "decision"
INFORMATION = "blind"


def decide(tokens_seen, time_ms):
    return tokens_seen / time_ms
