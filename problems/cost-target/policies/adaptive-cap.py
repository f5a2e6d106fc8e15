"""As capped, but the batch may be larger by `gain` for each request that waits besides the first."""

SEES = ("arrival", "batch", "waiting")
SHAPE = "falling order"
PARAMETERS = {"most": 48, "gain": 4.0}


def rank(arrival):
    return arrival


def admit(batch, waiting, most, gain):
    return batch < most + gain * (waiting - 1)
