"""Never use a prediction: the blind fall-back all the time."""

SEES = ()
SHAPE = "decision"
INFORMATION = "blind"


def decide():
    return 0.0
