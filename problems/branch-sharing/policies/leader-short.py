"""As leader, questions with the shortest predicted chains first."""

SEES = ("predicted", "cached", "input_tokens", "admitted")
SHAPE = "falling order"
PARAMETERS = {"prefix_cache": True}


def rank(predicted):
    return predicted


def admit(cached, input_tokens, admitted):
    return admitted == 0 or input_tokens - cached <= 32
