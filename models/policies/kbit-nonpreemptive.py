"""k bits of the prediction, non-preemptive: buckets by priority, first come first served within a bucket."""

SEES = ("predicted", "age")
SHAPE = "falling"
PARAMETERS = {"bits": 2, "thresholds": "optimal", "preemptive": False}


def rank(predicted, age, thresholds):
    if age > 0:
        return -float("inf")
    bucket = 0
    for threshold in thresholds:
        if predicted >= threshold:
            bucket += 1
    return float(bucket)
