"""k bits of the prediction: a job preempts its own and longer buckets; the last is in order of arrival."""

SEES = ("predicted", "arrival")
SHAPE = "falling"
TIES = "last"
PARAMETERS = {"bits": 2, "thresholds": "optimal", "preemptive": True}


def rank(predicted, arrival, thresholds):
    bucket = 0
    for threshold in thresholds:
        if predicted >= threshold:
            bucket += 1
    return bucket + arrival if bucket == len(thresholds) else float(bucket)
