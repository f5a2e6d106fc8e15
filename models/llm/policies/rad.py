"""RAD: decode as soon as a tile of requests can, else one tile of the oldest prompt.

Bari, Hegde, de Veciana: Optimal scheduling algorithms for LLM inference, theory and practice (2025): resource-aware
dynamic scheduling. An iteration decodes where at least `tile` requests can, or max_batch, or no prompt is left;
otherwise it computes up to `tile` tokens of the oldest prompt. Memory, which the paper has no limit of: a prompt begins
where its blocks are free; where a decoding step lacks blocks, those that arrived last are evicted.
"""

from openqueues.models.llm.planning import EVICT, go_on, make_room, start

SEES = ("todo", "held", "decoding")
SHAPE = "rounds"
PARAMETERS = {"tile": 128}


def decide(view, plan, tile):
    decoding, prompt = 0, -1
    for k in range(plan.size):
        if view.decoding[k] > 0.0:
            decoding += 1
        elif prompt < 0:
            prompt = k
    free, running = make_room(view, plan)
    if prompt >= 0 and decoding < min(tile, min(view.max_batch, view.budget)) and plan[prompt] != EVICT:
        tokens = min(tile, view.budget)
        if view.held[prompt] > 0.0:
            plan[prompt] = int(min(view.todo[prompt], tokens))
            return 0.0
        if start(view, plan, prompt, free, running, tokens)[0]:
            return 0.0
    if go_on(view, plan, min(view.budget, float(view.max_batch)), 1.0) == min(view.budget, float(view.max_batch)):
        # Nobody can decode: prompts that were begun lack the room for an older one that was evicted.
        go_on(view, plan, min(tile, view.budget), 0.0)
    return 0.0
