"""To the server with the least work: prompt tokens that wait, and `answer` times the predicted tokens still to make."""

SEES = ("waiting_tokens", "predicted_left")
PARAMETERS = {"answer": 3.0}


def score(waiting_tokens, predicted_left, answer):
    return waiting_tokens + answer * predicted_left
