"""Least attained service (foreground-background): the youngest job by age, ties share the server."""

SEES = ("age",)
SHAPE = "general"


def rank(age):
    return age


def turn(age):
    return float("inf")
