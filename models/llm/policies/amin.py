"""A_min: the lower end of a predicted interval, raised to what has been made, stands for the answer's length.

Chen, Ye, Zhou: Adaptively robust LLM inference optimization under prediction uncertainty (2025). The shortest is first,
admitted while the peak of memory with these lengths fits, where a request that has made as much is thought to make one
token more. Where the next step lacks memory, those with the shortest such lengths are evicted first, and what they have
made raises theirs. Here they keep the tokens that they have made and compute their KV again. An empty server takes any.
"""

import numpy as np
from openqueues.models.llm.planning import EVICT, blocks, go_on, peak, start

SEES = ("todo", "held", "decoding", "generated", "predicted_low")
SHAPE = "rounds"
INFORMATION = "predictions"
PARAMETERS = {"chunk": 8192}


def decide(view, plan, chunk):
    block, running = view.block_tokens, 0
    free = view.free_tokens // block
    length = np.maximum(np.ceil(view.predicted_low), view.generated)
    order = np.argsort(length, kind="mergesort")
    for k in range(plan.size):
        if view.held[k] > 0.0:
            free -= blocks(view.held[k] + view.todo[k], block) - blocks(view.held[k], block)
            running += 1
    for k in order:
        if free >= 0.0:
            break
        if view.held[k] > 0.0:
            free += blocks(view.held[k] + view.todo[k], block)
            plan[k] = EVICT
            running -= 1
    tokens = go_on(view, plan, min(view.budget, chunk), 1.0)
    tokens = go_on(view, plan, tokens, 0.0)
    if (plan < 0).any():
        return 0.0
    sizes, left, members = np.empty(plan.size), np.empty(plan.size), 0
    for k in range(plan.size):
        if view.held[k] > 0.0:
            sizes[members] = view.held[k] + view.todo[k] - 1.0
            left[members] = max(length[k] - view.generated[k], 1.0)
            members += 1
    for k in order:
        if view.held[k] == 0.0:
            sizes[members] = view.todo[k] - 1.0
            left[members] = max(length[k] - view.generated[k], 1.0)
            members += 1
            if running > 0 and peak(sizes[:members], left[:members]) > view.kv_tokens:
                break
            began, free, running, tokens = start(view, plan, k, free, running, tokens)
            if not began:
                break
    return 0.0
