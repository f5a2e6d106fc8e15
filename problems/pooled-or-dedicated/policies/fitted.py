"""As by-work where the busier phase is then busy at most `most` of the time, else pooled with prompts in chunks."""

SEES = ("prefill", "chunks", "servers", "prompt_work", "answer_work", "rate")
SHAPE = "decision"
PARAMETERS = {"most": 0.95}


def decide(prefill, chunks, servers, prompt_work, answer_work, rate, most):
    if prefill == 0:
        return most if chunks > 0 else 1e9
    return rate * max(prompt_work / prefill, answer_work / (servers - prefill))
