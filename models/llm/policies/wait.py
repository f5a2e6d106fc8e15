"""WAIT: an iteration begins when enough requests of some type wait, and takes as many new ones of each type.

Ao, Luo, Simchi-Levi, Wang: Optimizing LLM inference, fluid-guided online scheduling with memory constraints (2025).
Types are classes of the predicted answer o, which end at the parameters. With rates lambda_k the threshold of type k
is n_k = limit lambda_k / sum of lambda_j (o_j + 1), at least 1: `limit` requests are then in flight. Rates and mean
answers are those of the requests seen so far. All that decode take part in an iteration. Not in the paper: an
iteration begins at the latest most_wait_s after the last one, so that the last requests are served; the last to arrive
are evicted where memory is short. It is made for loads of at least one request an iteration.
"""

import numpy as np
from openqueues.models.llm.planning import go_on, make_room, start

SEES = ("todo", "held", "decoding", "predicted", "arrival", "note0")
SHAPE = "rounds"
INFORMATION = "predictions"
PARAMETERS = {"limit": 128, "most_wait_s": 0.02, "first": 58, "second": 147, "third": 280, "fourth": 499}


def decide(view, plan, limit, most_wait_s, first, second, third, fourth):
    # memory: requests seen of each type, sum of their answers and one each, time of the last iteration.
    memory, waiting = view.memory, np.zeros(5)
    for k in range(plan.size):
        if view.note0[k] == 0.0:
            place = 1 if view.predicted[k] >= first else 0
            place += 1 if view.predicted[k] >= second else 0
            place += 1 if view.predicted[k] >= third else 0
            place += 1 if view.predicted[k] >= fourth else 0
            view.note0[k] = 1.0 + place
            memory[place] += 1.0
            memory[5] += view.predicted[k] + 1.0
        if view.held[k] == 0.0:
            waiting[int(view.note0[k]) - 1] += 1.0
    threshold, ready = np.zeros(5), False
    for place in range(5):
        threshold[place] = max(1.0, limit * memory[place] // memory[5])
        ready = ready or waiting[place] >= threshold[place]
    latest = max(memory[6], view.arrival[0]) + most_wait_s
    if not ready and view.now < latest:
        return latest
    memory[6] = view.now
    free, running = make_room(view, plan)
    tokens = go_on(view, plan, view.budget, 1.0)
    tokens = go_on(view, plan, tokens, 0.0)
    for k in range(plan.size):
        place = int(view.note0[k]) - 1
        if plan[k] < 0:
            break
        if view.held[k] == 0.0 and threshold[place] >= 1.0:
            began, free, running, tokens = start(view, plan, k, free, running, tokens)
            if not began:
                break
            threshold[place] -= 1.0
    return 0.0
