"""As forecast, but without predictions: by the prompts that arrived, and `typical` tokens of each answer."""

SEES = ("share", "arrived", "arrived_input")
PARAMETERS = {"answer": 6.0, "typical": 120.0}


def control(share, arrived, arrived_input, answer, typical):
    work = arrived_input + answer * typical * arrived
    return arrived_input / work if work > 0 else share
