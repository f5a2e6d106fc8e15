"""The queue whose jobs need the least work by prediction: predictions less ages, none below 0."""

SEES = ("predicted_work",)
SHAPE = "decision"
INFORMATION = "predictions"


def decide(predicted_work):
    return predicted_work
