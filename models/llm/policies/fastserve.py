"""FastServe: queues of doubling quanta, entered by the length of the prompt; the highest that is not empty first.

Wu et al.: Fast distributed inference serving for large language models (2023), with the numbers of the published code.
Queue p has a quantum of base_ms 2^p. A request joins the first whose quantum is at least the time of its prompt
(prompt_ms a token), and the next one after each step (token_ms; the prompt counts in the first queue) that leaves it
with more than its quantum spent since it joined. Who has waited starve_s at a stretch starts again in queue 0, until it
is preempted. Within a queue the earlier arrival is first.

A preempted request keeps its KV cache for as long as others do not need the blocks, and computes the rest again; with
memory=swap all of it is moved to the host. FastServe moves it ahead of time.
"""

SEES = ("input_tokens", "generated", "idle", "turn_tokens", "running")
SHAPE = "order"
PARAMETERS = {
    "preempt": True,
    "memory": "tail",
    "base_ms": 10.0,
    "prompt_ms": 0.1,
    "token_ms": 20.0,
    "starve_s": 3.0,
}


def rank(input_tokens, generated, idle, turn_tokens, running, base_ms, prompt_ms, token_ms, starve_s):
    level, quantum, spent, tokens = 0.0, 1.0 * base_ms, 0.0, turn_tokens
    if idle < starve_s:
        spent, tokens = prompt_ms * input_tokens, generated - 1.0
        while quantum < spent and level < 60.0:
            quantum, level = 2.0 * quantum, level + 1.0
    while level < 60.0:
        steps = (quantum - spent) // token_ms + 1.0
        if tokens < steps:
            break
        quantum, level, spent, tokens = 2.0 * quantum, level + 1.0, 0.0, tokens - steps
    return level
