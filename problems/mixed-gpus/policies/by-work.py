"""As many fast and slow servers for prompts as leave the busier of the two phases least busy."""

SEES = ("dedicated", "busiest")
SHAPE = "decision"


def decide(dedicated, busiest):
    return busiest if dedicated > 0 else 1e9
