"""A quantile of the predicted law of the size, less the age."""

SEES = ("predicted", "age")
SHAPE = "table"
INFORMATION = "distributions"
PARAMETERS = {"table": "quantile", "share": 0.8}
