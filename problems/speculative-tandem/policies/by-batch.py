"""A draft of fixed length while the batch is small, none in larger ones."""

SEES = ("g", "draft", "batch")
SHAPE = "decision"
PARAMETERS = {"length": 4, "model": 0, "largest": 48}


def decide(g, draft, batch, length, model, largest):
    wanted = length if batch <= largest else 0
    return -abs(g - wanted) - 100 * abs(draft - model)
