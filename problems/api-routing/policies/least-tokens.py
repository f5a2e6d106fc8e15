"""The least work: prompt tokens still to compute, and `answer` times the predicted tokens still to make."""

SEES = ("waiting_tokens", "predicted_left")
PARAMETERS = {"answer": 20.0}


def score(waiting_tokens, predicted_left, answer):
    return waiting_tokens + answer * predicted_left
