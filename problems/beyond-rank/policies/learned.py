"""Least remaining work as experience tells: what jobs of about this prediction that got this old turned out to be."""

SEES = ("expected", "age")
SHAPE = "decision"
INFORMATION = "predictions"


def decide(expected, age):
    return expected - age
