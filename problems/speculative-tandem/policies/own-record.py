"""Most tokens a second by each request's own record; tokens not worth their time are not drafted."""

SEES = ("tokens_own", "time_ms")
SHAPE = "decision"
INFORMATION = "blind"
PARAMETERS = {"least": "price", "cut": "own"}


def decide(tokens_own, time_ms):
    return tokens_own / time_ms
