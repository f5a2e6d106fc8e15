"""Work-conserving orders with a budget of tokens: decoding requests first or prompts first, each in order of arrival.

Dai, Deng, Li, Peng: Throughput-optimal scheduling algorithms for LLM inference and AI agents (2025): whatever fills
each iteration with up to `chunk` tokens while there are any is throughput-optimal. Decoding first is Sarathi-Serve's
order, prompts first (prefill_first=1) is Orca's with prompts in chunks. The last to arrive are evicted where memory is
short.
"""

from openqueues.models.llm.planning import go_on, make_room, start

SEES = ("todo", "held", "decoding")
SHAPE = "rounds"
PARAMETERS = {"chunk": 512, "prefill_first": 0}


def decide(view, plan, chunk, prefill_first):
    tokens = min(view.budget, chunk)
    free, running = make_room(view, plan)
    if prefill_first == 0:
        tokens = go_on(view, plan, tokens, 1.0)
    tokens = go_on(view, plan, tokens, 0.0)
    for k in range(plan.size):
        if view.held[k] == 0.0 or plan[k] < 0:
            began = False
            if plan[k] == 0:
                began, free, running, tokens = start(view, plan, k, free, running, tokens)
            if not began:
                break
    go_on(view, plan, tokens, 1.0)
    return 0.0
