"""The mean of the predicted law of the size, less the age."""

SEES = ("predicted", "age")
SHAPE = "table"
INFORMATION = "distributions"
PARAMETERS = {"table": "mean"}
