"""As FrugalGPT: ask the small model, and the next larger one until an answer is judged good enough."""

SEES = ("model", "judged")
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"least": 0.7}


def decide(model):
    return model


def accept(judged, least):
    return judged > least
