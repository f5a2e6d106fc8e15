"""SkipPredict on its guard: a job whose bit is short and that outlives `limit` stands at `level`, unpredicted."""
# Its bit was wrong, and a second prediction of the same job costs more than it tells: who has outlived the limit yields
# to all new short jobs and goes before nearly all long ones, which are predicted in full and follow by SPRPT.

SEES = ("step", "long")
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"threshold": 2.0, "limit": 1.75, "level": 0.05}


def decide(step, long, level):
    if step == 0:
        return -1.0
    if step == 1:
        return -2.0 if long else -3.0
    return level
