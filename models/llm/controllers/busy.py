"""As many instances that compute prompts as would make both roles equally busy, if they do as much as now.

Only where the two differ by more than `margin`, so that it does not change back and forth.
"""

SEES = ("share", "prefill_busy", "decode_busy")
PARAMETERS = {"margin": 0.1}


def control(share, prefill_busy, decode_busy, margin):
    prompts, answers = share * prefill_busy, (1.0 - share) * decode_busy
    # Both are 0 where the only busy instance is the last of its role, and is about to change it.
    if abs(prefill_busy - decode_busy) <= margin or prompts + answers == 0:
        return share
    return prompts / (prompts + answers)
