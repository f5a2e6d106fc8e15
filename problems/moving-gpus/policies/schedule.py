"""By the mean work of the mix that there will be in 10 s, as the schedule of the drift says.

In units of the time of a mean prompt of the first workload an answer takes `few`, and prompt and answer of the
second `less` and `more`.
"""

SEES = ("now",)
INFORMATION = "oracle"
PARAMETERS = {"period": 300.0, "few": 0.094, "less": 0.578, "more": 0.608}


def control(now, period, few, less, more):
    turn = (now + 10) / period
    turn -= int(turn)
    # 0 in the first and the last eighth of a period, 1 in the middle quarter.
    share = min(max(1.5 - 4 * abs(turn - 0.5), 0.0), 1.0)
    prompt = 1 + (less - 1) * share
    return prompt / (prompt + few + (more - few) * share)
