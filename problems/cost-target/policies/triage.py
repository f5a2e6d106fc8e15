"""As late-last, with at most `most` requests at once: some wait in vain so that the others are in time."""

SEES = ("arrival", "waited", "batch")
SHAPE = "order"
PARAMETERS = {"patience": 2.0, "most": 64}


def rank(arrival, waited, patience):
    return arrival if waited <= patience else arrival + 1e9


def admit(batch, most):
    return batch < most
