"""Memory-aware dynamic batching: first come first served in a batch that memory and the time of a token allow.

Pang, Li, Wang: Optimizing LLM inference throughput via memory-aware and SLA-constrained dynamic batching (2025). The
batch has at most as many requests as fit into memory but for the share `safety`, of the mean prompt of those seen and
the mean answer of those that ended lately (first_guess before any has), and as the step of the search for a decoding
iteration of tbt_s allows: between 0.8 and 1.2 of the present batch, the lower half after one that took more than
1 + tolerance of that, the upper half after one below 1 - tolerance. Iterations of whole prompts come first.
"""

import numpy as np
from openqueues.models.llm.planning import go_on, make_room, start

SEES = ("todo", "held", "decoding", "input_tokens", "request", "finished")
SHAPE = "rounds"
INFORMATION = "blind"
PARAMETERS = {"tbt_s": 0.05, "tolerance": 0.05, "safety": 0.1, "first_guess": 256, "chunk": 4096}


def decide(view, plan, tbt_s, tolerance, safety, first_guess, chunk):
    # memory: prompts seen, sum of their tokens, batch of the last decoding iteration, whether that was the last, width.
    memory = view.memory
    for k in range(plan.size):
        if view.request[k] >= memory[0]:
            memory[0] = view.request[k] + 1.0
            memory[1] += view.input_tokens[k]
    answer = view.finished.mean() if view.finished.size > 0 else first_guess
    widest = ((1.0 - safety) * view.kv_tokens) // (memory[1] / memory[0] + answer)
    if memory[3] > 0.0:
        step, batch = view.last_step_ms / 1000.0, memory[2]
        if step > (1.0 + tolerance) * tbt_s:
            memory[4] = max(1.0, np.floor(0.5 * (0.8 + 1.0) * batch))
        elif step < (1.0 - tolerance) * tbt_s:
            memory[4] = np.ceil(0.5 * (1.0 + 1.2) * batch)
        else:
            memory[4] = batch
    width = max(1.0, min(widest, memory[4]) if memory[4] > 0.0 else widest)
    free, running = make_room(view, plan)
    most = min(view.budget, chunk)
    tokens = go_on(view, plan, most, 0.0)
    for k in range(plan.size):
        if view.held[k] == 0.0 or plan[k] < 0:
            # As vLLM: the first prompt of an iteration may have more than `chunk` tokens, later ones fit into it.
            left = view.budget if tokens == most else tokens
            if plan[k] < 0 or running >= width or (tokens < most and view.todo[k] > tokens):
                break
            began, free, running, left = start(view, plan, k, free, running, left)
            if not began:
                break
            tokens -= plan[k]
    memory[3] = 1.0 if tokens == most else 0.0
    if tokens == most:
        go_on(view, plan, view.budget, 1.0)
        memory[2] = (plan > 0).sum()
    return 0.0
