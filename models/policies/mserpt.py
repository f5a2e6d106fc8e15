"""M-SERPT: the largest expected remaining processing time that the job has had so far."""

SEES = ("predicted", "age")
SHAPE = "table"
INFORMATION = "distributions"
PARAMETERS = {"table": "mserpt"}
