"""A draw decides: a share of the requests goes to the small model, one to the largest, the rest to the middle one."""

SEES = ("model", "draw")
SHAPE = "decision"
INFORMATION = "blind"
PARAMETERS = {"small": 0.0, "largest": 0.5}


def decide(model, draw, small, largest):
    chosen = 0 if draw < small else 2 if draw >= 1.0 - largest else 1
    return abs(model - chosen)
