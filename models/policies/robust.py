"""Robust Gittins: Gittins with every age stretched by alpha, against errors of the law."""

SEES = ("predicted", "age")
SHAPE = "table"
INFORMATION = "distributions"
PARAMETERS = {"table": "gittins", "alpha": 1.5}
