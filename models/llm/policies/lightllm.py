"""Past-Future: first come first served, admitted while the peak of memory fits that recent lengths foretell.

Gong et al.: Past-Future scheduler for LLM serving under SLA guarantees (2025), of LightLLM. The answer of a request is
thought to be as long as one that ended lately and is longer than what it has made: at its own random quantile of these,
or `longest` where there is none (at least one token more). The requests make a token each iteration and end at these
lengths; a prompt begins if the peak of memory so far ahead fits, or if nothing runs. The policy pastfuture is given
predictions instead. The last to arrive are evicted where memory is short.
"""

import numpy as np
from openqueues.models.llm.planning import go_on, make_room, peak, start

SEES = ("todo", "held", "decoding", "generated", "draw", "finished")
SHAPE = "rounds"
INFORMATION = "blind"
PARAMETERS = {"longest": 512, "chunk": 8192}


def decide(view, plan, longest, chunk):
    free, running = make_room(view, plan)
    tokens = go_on(view, plan, min(view.budget, chunk), 1.0)
    tokens = go_on(view, plan, tokens, 0.0)
    if (plan < 0).any() or (view.held > 0.0).all():
        return 0.0
    # memory[24:] has the lengths that ended lately in order, memory[0] how many had ended when they were sorted.
    ended, memory = view.memory[24 : 24 + view.finished.size], view.memory
    if memory[0] != view.completed:
        memory[0] = view.completed
        ended[:] = np.sort(view.finished)
    sizes, left, members = np.empty(plan.size), np.empty(plan.size), 0
    for waiting in (False, True):
        for k in range(plan.size):
            if (view.held[k] == 0.0) != waiting:
                continue
            sizes[members] = view.held[k] + view.todo[k] - 1.0
            left[members] = still(ended, view.generated[k], view.draw[k], longest)
            members += 1
            if not waiting:
                continue
            if running > 0 and peak(sizes[:members], left[:members]) > view.kv_tokens:
                break
            began, free, running, tokens = start(view, plan, k, free, running, tokens)
            if not began:
                break
    return 0.0


def still(ended, generated, draw, longest):
    """The tokens that a request is thought to make yet."""
    first = np.searchsorted(ended, generated, side="right")
    if first == ended.size:
        return max(longest - generated, 1.0)
    return ended[first + int(draw * (ended.size - first))] - generated
