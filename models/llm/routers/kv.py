"""The most free KV cache, less the prompts that wait for some."""

SEES = ("free_tokens", "waiting_tokens")


def score(free_tokens, waiting_tokens):
    return waiting_tokens - free_tokens
