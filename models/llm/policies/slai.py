"""SLAI: decoding requests at their last moment, then prompts, then the others that decode.

Bari, Hegde, de Veciana: Optimal scheduling algorithms for LLM inference, theory and practice (2025), with the numbers
of the published code. A token is due tbt_s after the one before it (loose_s for batch requests); a request must be
scheduled `offset` mean iterations before that, or full_offset while over 96% of memory is in use. An iteration of up to
`chunk` tokens takes those whose last moment has come, the earliest first, prompts that were begun, new prompts (the
shortest first, or in order of arrival with shortest=0), and then the other decoding requests. A request at its last
moment that lacks a block evicts the prompt that was begun last, or else itself.
"""

import numpy as np
from openqueues.models.llm.planning import EVICT, blocks, start

SEES = ("todo", "held", "decoding", "last_token", "kind")
SHAPE = "rounds"
PARAMETERS = {"tbt_s": 0.1, "loose_s": 0.5, "chunk": 512, "offset": 5, "full_offset": 10, "shortest": 1}


def decide(view, plan, tbt_s, loose_s, chunk, offset, full_offset, shortest):
    block, tokens, width = view.block_tokens, min(view.budget, chunk), 0
    steps = full_offset if view.free_tokens < 0.04 * view.kv_tokens else offset
    free, holders = view.free_tokens // block, 0
    due, size = np.full(plan.size, np.inf), np.full(plan.size, np.inf)
    for k in range(plan.size):
        if view.held[k] > 0.0:
            holders += 1
        if view.decoding[k] > 0.0 and view.held[k] > 0.0:
            deadline = view.last_token[k] + (loose_s if view.kind[k] > 0.0 else tbt_s)
            due[k] = deadline - steps * view.mean_step_ms / 1000.0
        elif view.held[k] > 0.0:
            free -= blocks(view.held[k] + view.todo[k], block) - blocks(view.held[k], block)
        else:
            size[k] = view.todo[k] if shortest > 0 else k
    order = np.argsort(due, kind="mergesort")
    for urgent in (True, False):
        for k in order:
            late = due[k] <= view.now
            if due[k] == np.inf or plan[k] != 0 or late != urgent or tokens < 1.0 or width >= view.max_batch:
                continue
            needed = 1.0 if view.held[k] % block == 0.0 else 0.0
            victim = plan.size - 1
            while urgent and needed > free and victim >= 0:
                if view.held[victim] > 0.0 and view.decoding[victim] == 0.0 and plan[victim] == 0:
                    plan[victim] = EVICT
                    free += blocks(view.held[victim] + view.todo[victim], block)
                    holders -= 1
                victim -= 1
            if needed <= free:
                plan[k] = 1
                free, tokens, width = free - needed, tokens - 1.0, width + 1
            elif urgent:
                plan[k] = EVICT
                free, holders = free + blocks(view.held[k], block), holders - 1
        if not urgent:
            break
        for k in range(plan.size):
            begun = view.held[k] > 0.0 and view.decoding[k] == 0.0 and plan[k] == 0
            if begun and tokens >= 1.0 and width < view.max_batch:
                plan[k] = int(min(view.todo[k], tokens))
                tokens, width = tokens - plan[k], width + 1
        for k in np.argsort(size, kind="mergesort"):
            if size[k] == np.inf or width >= view.max_batch:
                break
            began, free, holders, tokens = start(view, plan, k, free, holders, tokens)
            if not began:
                break
            width += 1
    if (plan == 0).all():
        # All lack a block, and nobody is at its last moment.
        k = plan.size - 1
        while view.held[k] == 0.0:
            k -= 1
        plan[k] = EVICT
    return 0.0
