"""Smallest report first; a job that outlives its report goes behind all that have not, first come first served there.

With a `probability` below one only so many jobs are punished; the others keep the rank that they reported.
"""

SEES = ("predicted", "arrival", "age")
SHAPE = "general"
PARAMETERS = {"probability": 1.0}


def rank(predicted, arrival, age, probability):
    # The arrival time stands in for a coin that every run throws alike.
    coin = (arrival * 7919.0) % 1.0
    return 1e9 if age >= predicted and coin < probability else predicted


def turn(predicted, arrival, age, probability):
    return predicted if age < predicted else float("inf")
