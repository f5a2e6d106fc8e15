"""All servers do both phases, in mixed iterations with prompts in chunks: there is nothing to move."""

SEES = ("share",)
PARAMETERS = {"pooled": 1}


def control(share, pooled):
    return share
