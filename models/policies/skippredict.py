"""SkipPredict: a cheap bit for every job; those called short are served first, the others predicted in full."""
# Jobs called short are first come first served before all others, the rest follow by SPRPT. The bit says whether a
# second prediction, of the same law as the full one and independent of it given the size, is below `threshold`.
# What predictions cost is told by `cost1` (the bit), `cost2` (the full prediction) and `model`: `external`, a price
# added to the response time; `server`, the server's time; `in-service`, a slower service while the next `window`
# of the job is served. Costs are in the unit of the sizes. `threshold` may be `optimal`.

SEES = ("step", "long")
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"threshold": "optimal", "cost1": 0.0, "cost2": 0.0, "model": "external", "window": 0.5}


def decide(step, long):
    if step == 0:
        return -1.0
    return -2.0 if long else 0.0
