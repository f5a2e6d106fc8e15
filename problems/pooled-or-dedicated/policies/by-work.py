"""Dedicated, so that the busier of the two phases is as little busy as can be, by the mean work of each."""

SEES = ("prefill", "servers", "prompt_work", "answer_work")
SHAPE = "decision"


def decide(prefill, servers, prompt_work, answer_work):
    return max(prompt_work / prefill, answer_work / (servers - prefill)) if prefill > 0 else 1e9
