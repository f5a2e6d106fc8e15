"""The threshold rises with the queues: the time of an answer of mean length, its own and what it adds to others'."""

SEES = ("quality", "requests", "step_ms", "seq_ms", "value_wrong")
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"mean": 200.0}


def decide(quality, requests, step_ms, seq_ms, value_wrong, mean):
    return mean * (step_ms + seq_ms * (2.0 * requests + 1.0)) / 1000.0 - value_wrong * quality
