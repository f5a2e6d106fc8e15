"""Gittins: the least expected service per completion to come, from the law of the size given the prediction."""

SEES = ("predicted", "age")
SHAPE = "table"
INFORMATION = "distributions"
PARAMETERS = {"table": "gittins"}
