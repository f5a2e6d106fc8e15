"""Size estimate hedging: SPRPT whose rank is frozen once the job has had a share of its prediction."""

SEES = ("predicted", "age")
SHAPE = "falling"
PARAMETERS = {"share": 0.5}


def rank(predicted, age, share):
    return predicted - min(age, share * predicted)
