"""Refined predictions and probes: every further probe that gives the same answer takes the share `off` of the rate."""

SEES = ("rate_running", "agree")
SHAPE = "decision"
INFORMATION = "predictions"
PARAMETERS = {"classes": 0, "off": 0.5}


def decide(rate_running, agree, off):
    return -rate_running * (1.0 - off) ** max(agree - 1.0, 0.0)
