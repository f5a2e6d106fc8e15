"""The least work: prompt tokens still to compute, and `answer` times the predicted tokens still to make.

`answer` is the time of a token of an answer over that of a token of a prompt, which depends on hardware and batch.
"""

SEES = ("waiting_tokens", "predicted_left")
PARAMETERS = {"answer": 1.0}


def score(waiting_tokens, predicted_left, answer):
    return waiting_tokens + answer * predicted_left
