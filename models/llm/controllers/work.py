"""The share of the arrived work that is prompts: a predicted token of an answer counts `answer` tokens of a prompt."""

SEES = ("share", "arrived_input", "arrived_predicted")
PARAMETERS = {"answer": 4.0}


def control(share, arrived_input, arrived_predicted, answer):
    work = arrived_input + answer * arrived_predicted
    return arrived_input / work if work > 0 else share
