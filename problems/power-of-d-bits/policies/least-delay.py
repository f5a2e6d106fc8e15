"""The queue where the job adds the least delay by prediction: to itself, of those ahead, and to those behind it."""

SEES = ("predicted", "ahead", "longer")
SHAPE = "decision"
INFORMATION = "predictions"


def decide(predicted, ahead, longer):
    return ahead + predicted * longer
