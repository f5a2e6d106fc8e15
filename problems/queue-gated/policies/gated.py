"""Predictions only when the queue is long: shortest predicted remaining time from `threshold` jobs on, else FCFS."""

SEES = ("queue", "predicted", "arrival", "age", "running")
SHAPE = "decision"
PARAMETERS = {"threshold": 4, "preemptive": True, "reverse": False}


def decide(queue, predicted, arrival, age, running, threshold, preemptive, reverse):
    if running and not preemptive:
        return -float("inf")
    if (queue >= threshold) != (reverse > 0):
        return predicted - age
    return arrival
