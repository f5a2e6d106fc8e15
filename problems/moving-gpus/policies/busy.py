"""By the measured busy time of the servers of each phase, if the two shares differ by more than `margin`."""

SEES = ("share", "prefill_busy", "decode_busy")
PARAMETERS = {"margin": 0.1}


def control(share, prefill_busy, decode_busy, margin):
    prompts, answers = share * prefill_busy, (1 - share) * decode_busy
    if abs(prefill_busy - decode_busy) <= margin or prompts + answers == 0:
        return share
    return prompts / (prompts + answers)
