"""By the work that arrived in the last interval: prompts, and predicted answers at `answer` prompt tokens a token."""

SEES = ("share", "arrived_input", "arrived_predicted")
PARAMETERS = {"answer": 6.0}


def control(share, arrived_input, arrived_predicted, answer):
    work = arrived_input + answer * arrived_predicted
    return arrived_input / work if work > 0 else share
