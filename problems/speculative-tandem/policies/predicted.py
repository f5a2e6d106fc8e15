"""Most tokens a second by the predicted acceptance of each request; tokens not worth their time are not drafted."""

SEES = ("tokens_predicted", "time_ms")
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"least": "price", "cut": "predicted"}


def decide(tokens_predicted, time_ms):
    return tokens_predicted / time_ms
