"""By the mean of two estimates of the servers that answers need: of the work that came, and of what decodes now.

What came in the last interval says where the mix goes, but errs; what decodes is the sum of some ten seconds, but says
where it was. Answers need one server for each `most` requests that decode, but at most `slack` more than for what came.
A predicted token of an answer is the work of `token` prompt tokens. One server moves at a time, if more than `margin`
are amiss.
"""

SEES = ("share", "instances", "changing", "arrived_input", "arrived_predicted", "decode_requests")
PARAMETERS = {"token": 5.0, "most": 60.0, "margin": 0.6, "slack": 2.0}


def control(share, instances, changing, arrived_input, arrived_predicted, decode_requests, token, most, margin, slack):
    if changing > 0 or arrived_input <= 0:
        return share
    decoding = (1 - share) * instances
    came = token * arrived_predicted / (arrived_input + token * arrived_predicted) * instances
    there = min(max(decode_requests * decoding / most, 1.0), came + slack)
    away = decoding - (came + there) / 2
    if away > margin:
        return share + 1 / instances
    return share - 1 / instances if away < -margin else share
