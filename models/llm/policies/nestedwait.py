"""Nested WAIT: segments of the answer's length; a segment goes on when enough have come to its beginning.

Ao, Luo, Simchi-Levi, Wang: Optimizing LLM inference, fluid-guided online scheduling with memory constraints (2025),
for unknown lengths. Segment m has the requests that have made as many tokens as its beginning, one of 0 and the
parameters, and fewer than the next. It takes part in an iteration if the segments before it do and at least n_m wait
at its beginning, of whom n_m enter; else its requests pause with their KV. n_m is the share of answers that come to m
times limit / (sum over segments of this share times stages), at least 1; the share is that of answers that ended
lately. Not in the paper: a first segment whose prompts find no room takes part, all segments do most_wait_s after the
last iteration, and the last to arrive are evicted where memory is short. It is made for loads of at least one request
an iteration: `limit` then is about the requests in flight, no fewer than one for each stage.
"""

import numpy as np
from openqueues.models.llm.planning import make_room, start

SEES = ("todo", "held", "decoding", "generated", "arrival", "finished", "note0")
SHAPE = "rounds"
INFORMATION = "blind"
PARAMETERS = {"limit": 128, "most_wait_s": 0.02, "first": 58, "second": 147, "third": 280, "fourth": 499}


def decide(view, plan, limit, most_wait_s, first, second, third, fourth):
    # note0: segments that the request has entered. memory: time of the last iteration.
    begin, last = np.array([0.0, first, second, third, fourth, 2.0 * fourth]), view.memory
    share, waiting = np.ones(5), np.zeros(5)
    for k in range(plan.size):
        place = int(view.note0[k])
        if view.held[k] == 0.0:
            waiting[0] += 1.0
        elif place < 5 and view.generated[k] >= begin[place]:
            waiting[place] += 1.0
    stages = 0.0
    for place in range(5):
        if view.finished.size > 0:
            share[place] = (view.finished > begin[place]).sum() / view.finished.size
        stages += share[place] * (begin[place + 1] - begin[place])
    latest = max(last[0], view.arrival[0]) + most_wait_s
    late = view.now >= latest
    free, running = make_room(view, plan)
    tokens, entered, blocked = view.budget, np.floor(np.maximum(limit * share / stages, 1.0)), False
    active = np.zeros(6)
    for k in range(plan.size):
        if view.held[k] == 0.0 and (running >= view.max_batch or free < view.todo[k] // view.block_tokens + 1.0):
            blocked = True
    active[0] = 1.0 if late or blocked or waiting[0] >= entered[0] else 0.0
    for place in range(1, 5):
        active[place] = active[place - 1] if late or waiting[place] >= entered[place] else 0.0
    for k in range(plan.size):
        place = int(view.note0[k])
        if view.held[k] > 0.0 and plan[k] == 0 and tokens >= 1.0:
            if place < 5 and view.generated[k] >= begin[place]:
                if active[place] == 0.0 or (entered[place] < 1.0 and not late):
                    continue
                view.note0[k] += 1.0
                entered[place] -= 1.0
            elif active[max(place - 1, 0)] == 0.0:
                continue
            plan[k] = int(min(view.todo[k], tokens))
            tokens -= plan[k]
    for k in range(plan.size):
        if plan[k] < 0 or active[0] == 0.0:
            break
        if view.held[k] == 0.0 and entered[0] >= 1.0:
            began, free, running, tokens = start(view, plan, k, free, running, tokens)
            if not began:
                break
            view.note0[k] = max(view.note0[k], 1.0)
            entered[0] -= 1.0
    if (plan != 0).any():
        last[0] = view.now
        return 0.0
    return latest if not late else view.now + most_wait_s
