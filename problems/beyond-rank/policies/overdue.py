"""Shortest predicted remaining time; a job that has outlived its prediction then ranks at c times the prediction.

by_queue: times the share of the jobs present that have not outlived theirs; by_chance: times the job's random number.
"""

SEES = ("predicted", "age", "queue", "overdue", "random")
SHAPE = "decision"
PARAMETERS = {"c": 2, "by_queue": True, "by_chance": False}


def decide(predicted, age, queue, overdue, random, c, by_queue, by_chance):
    if age < predicted:
        return predicted - age
    rank = c * predicted
    if by_queue:
        rank *= 1.0 - overdue / queue
    if by_chance:
        rank *= random
    return rank
