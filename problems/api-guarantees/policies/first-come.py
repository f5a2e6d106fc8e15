"""First come first served by the request's arrival; contexts are handled as named, without predictions of calls."""

SEES = ("arrival",)
SHAPE = "decision"
PARAMETERS = {"handling": "preserve", "factor": 1.0, "skip": False}


def decide(arrival):
    return arrival
