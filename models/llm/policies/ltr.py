"""Learning to rank: lowest score first, preempts; who has waited wait_s at a stretch goes first for quantum tokens.

Fu, Zhu, Su, Qiao, Stoica, Zhang: Efficient LLM scheduling by learning to rank (2024), where the wait is counted in
iterations. Only the order of the predictions counts, among those that were promoted, too.
"""

SEES = ("score", "idle", "turn_tokens", "running")
SHAPE = "order"
INFORMATION = "predictions"
PARAMETERS = {"preempt": True, "wait_s": 10.0, "quantum": 64}


def rank(score, idle, turn_tokens, running, wait_s, quantum):
    promoted = idle >= wait_s and (running == 0 or turn_tokens < quantum)
    return -1.0 / (1.0 + score) if promoted else score
