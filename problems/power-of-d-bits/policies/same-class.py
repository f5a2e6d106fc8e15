"""The queue with the fewest jobs of the arrival's class; jobs of shorter and longer ones count with a weight."""

SEES = ("same_class", "shorter", "longer")
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"shorter_weight": 0.0, "longer_weight": 0.0}


def decide(same_class, shorter, longer, shorter_weight, longer_weight):
    return same_class + shorter_weight * shorter + longer_weight * longer
