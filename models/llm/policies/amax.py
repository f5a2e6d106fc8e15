"""A_max: the shortest upper end of a predicted interval first, admitted while the peak of memory with these ends fits.

Chen, Ye, Zhou: Adaptively robust LLM inference optimization under prediction uncertainty (2025): MC-SF of Jaillet et
al. as if each answer were as long as the upper end of its interval (one token more where it is longer). Prompts are
computed beside the requests that decode. An empty server takes any request. The last to arrive are evicted where
memory is short.
"""

import numpy as np
from openqueues.models.llm.planning import go_on, make_room, peak, start

SEES = ("todo", "held", "decoding", "generated", "predicted_high")
SHAPE = "rounds"
INFORMATION = "predictions"
PARAMETERS = {"chunk": 8192}


def decide(view, plan, chunk):
    free, running = make_room(view, plan)
    tokens = go_on(view, plan, min(view.budget, chunk), 1.0)
    tokens = go_on(view, plan, tokens, 0.0)
    sizes, left, members = np.empty(plan.size), np.empty(plan.size), 0
    order = np.empty(plan.size)
    for k in range(plan.size):
        waits = view.held[k] == 0.0 and plan[k] == 0
        order[k] = view.predicted_high[k] if waits else np.inf
        if view.held[k] > 0.0 and plan[k] >= 0:
            sizes[members] = view.held[k] + view.todo[k] - 1.0
            left[members] = max(np.ceil(view.predicted_high[k]) - view.generated[k], 1.0)
            members += 1
    if (plan < 0).any() or members == plan.size:
        return 0.0
    for k in np.argsort(order, kind="mergesort"):
        if order[k] == np.inf:
            break
        sizes[members] = view.todo[k] - 1.0
        left[members] = max(np.ceil(view.predicted_high[k]) - view.generated[k], 1.0)
        members += 1
        if running > 0 and peak(sizes[:members], left[:members]) > view.kv_tokens:
            break
        began, free, running, tokens = start(view, plan, k, free, running, tokens)
        if not began:
            break
    return 0.0
