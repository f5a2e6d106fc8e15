"""Shortest expected remaining processing time, from the law of the size given prediction and age."""

SEES = ("predicted", "age")
SHAPE = "table"
INFORMATION = "distributions"
PARAMETERS = {"table": "serpt"}
