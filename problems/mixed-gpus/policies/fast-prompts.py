"""All fast servers compute prompts, all slow ones decode."""

SEES = ("dedicated", "fast_prompts", "slow_prompts", "fast", "slow")
SHAPE = "decision"


def decide(dedicated, fast_prompts, slow_prompts, fast, slow):
    return 0 if dedicated > 0 and fast_prompts == fast and slow_prompts == 0 else 1
