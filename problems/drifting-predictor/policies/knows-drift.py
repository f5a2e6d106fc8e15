"""Use a prediction that was made while fewer than the share `threshold` of them were wrong: it knows the drift."""

SEES = ("wrong",)
SHAPE = "decision"
INFORMATION = "oracle"
PARAMETERS = {"threshold": 0.5}


def decide(wrong, threshold):
    return 1.0 if wrong < threshold else 0.0
