"""The next slice goes where the predicted curve of accuracy against tokens rises most: as Brown, Muppidi and Shahout.

classes: the predictor only says which of so many equal classes of difficulty a question is in; 0: all that it knows.
"""

SEES = ("rate",)
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"classes": 0}


def decide(rate):
    return -rate
