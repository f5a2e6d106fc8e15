"""Seconds: `delay` for each request that is there, and what the calls that the choice decides lose in quality.

value1 is the worth of a call's quality in s, value2 the expected number of calls that go with the choice.
"""

SEES = ("requests", "model", "value1", "value2")
PARAMETERS = {"delay": 0.3}
INFORMATION = "predictions"


def score(requests, model, value1, value2, delay):
    return delay * requests + model * value1 * value2
