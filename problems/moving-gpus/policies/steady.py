"""As forecast, but only where that is more than `margin` servers away, and then by one server at a time."""

SEES = ("share", "instances", "changing", "arrived_input", "arrived_predicted")
PARAMETERS = {"answer": 6.0, "margin": 0.8}


def control(share, instances, changing, arrived_input, arrived_predicted, answer, margin):
    work = arrived_input + answer * arrived_predicted
    if changing > 0 or work <= 0:
        return share
    away = (arrived_input / work - share) * instances
    if away > margin:
        return share + 1 / instances
    return share - 1 / instances if away < -margin else share
