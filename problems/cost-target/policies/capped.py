"""First come first served with at most `most` requests at once: a smaller batch makes tokens faster."""

SEES = ("arrival", "batch")
SHAPE = "falling order"
PARAMETERS = {"most": 48}


def rank(arrival):
    return arrival


def admit(batch, most):
    return batch < most
