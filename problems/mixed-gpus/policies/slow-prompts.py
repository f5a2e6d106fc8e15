"""All slow servers compute prompts, all fast ones decode."""

SEES = ("dedicated", "fast_prompts", "slow_prompts", "slow")
SHAPE = "decision"


def decide(dedicated, fast_prompts, slow_prompts, slow):
    return 0 if dedicated > 0 and fast_prompts == 0 and slow_prompts == slow else 1
