"""k bits of the prediction, preemptive: a job takes the server from its own bucket or a longer one; the last bucket is first come first served."""

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
