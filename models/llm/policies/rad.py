"""RAD: decode as soon as a tile of requests can, else one tile of the oldest prompt.

Bari, Hegde, de Veciana: Optimal scheduling algorithms for LLM inference, theory and practice (2025): resource-aware
dynamic scheduling. An iteration decodes where at least `tile` requests can, or max_batch, or no prompt is left;
otherwise it computes up to `tile` tokens of the oldest prompt. Memory, which the paper has no limit of: a prompt begins
where its blocks are free; where a decoding step lacks blocks, those that arrived last are evicted.
"""

SEES = ("todo", "held", "decoding")
SHAPE = "rounds"
PARAMETERS = {"tile": 128}

EVICT = -1


def blocks(tokens, block):
    return (tokens + block - 1.0) // block


def decide(view, plan, tile):
    block = view.block_tokens
    free, most = view.free_tokens // block, min(view.max_batch, view.budget)
    decoding, prompt, last = 0, -1, -1
    for k in range(plan.size):
        if view.decoding[k] > 0.0:
            decoding += 1
        elif prompt < 0:
            prompt = k
        if view.held[k] > 0.0:
            last = k
    if prompt >= 0 and decoding < min(tile, most):
        held, todo = view.held[prompt], view.todo[prompt]
        needed = blocks(held + todo, block) - blocks(held, block) + (view.spare_tokens // block if held == 0.0 else 0.0)
        if needed <= free:
            plan[prompt] = int(min(min(tile, view.budget), todo))
            return 0.0
        if decoding == 0:
            # Prompts that were begun, of which one was evicted later, block each other.
            plan[last] = EVICT
            return 0.0
    planned = 0
    for k in range(plan.size):
        if view.decoding[k] > 0.0 and planned < most:
            plan[k] = 1
            planned += 1
            free -= blocks(view.held[k] + 1.0, block) - blocks(view.held[k], block)
    while free < 0.0:
        if view.held[last] > 0.0:
            free += blocks(view.held[last] + plan[last], block)
            plan[last] = EVICT
        last -= 1
    return 0.0
