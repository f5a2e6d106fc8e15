"""DelayPredict: first come first served up to `limit` of service; who outlives it is predicted, then SPRPT."""
# What a prediction costs is told by `cost` and `model`: `external`, a price added to the response time; `server`,
# the server's time; `in-service`, a slower service while the next `window` of the job is served. Costs are in the
# unit of the sizes. `limit` may be `optimal`.

SEES = ("step",)
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"limit": "optimal", "cost": 0.0, "model": "external", "window": 0.5}


def decide(step):
    return -3.0 if step == 0 else -2.0
