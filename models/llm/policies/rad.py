"""RAD: decode as soon as a tile of requests can, else one tile of the oldest prompts.

Bari, Hegde, de Veciana: Optimal scheduling algorithms for LLM inference, theory and practice (2025): resource-aware
dynamic scheduling. An iteration decodes where at least `tile` requests can, or max_batch, or no prompt is left;
otherwise it computes `tile` tokens of prompts, in order of arrival; in the paper prompts are whole tiles. Memory, which
the paper has no limit of: a prompt begins where its blocks are free; where a decoding step lacks blocks, those that
arrived last are evicted.
"""

from openqueues.models.llm.planning import go_on, make_room, start

SEES = ("todo", "held", "decoding")
SHAPE = "rounds"
PARAMETERS = {"tile": 128}


def decide(view, plan, tile):
    decoding = (view.decoding > 0.0).sum()
    free, running = make_room(view, plan)
    if decoding < min(plan.size, min(tile, min(view.max_batch, view.budget))):
        tokens = go_on(view, plan, min(tile, view.budget), 0.0)
        for k in range(plan.size):
            if view.held[k] == 0.0 or plan[k] < 0:
                began = False
                if plan[k] == 0:
                    began, free, running, tokens = start(view, plan, k, free, running, tokens)
                if not began:
                    break
    if not (plan > 0).any():
        go_on(view, plan, view.budget, 1.0)
    return 0.0
