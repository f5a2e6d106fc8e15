"""Multi-bin batching: batches of requests whose predicted lengths fall into one bin, each served to its end.

Guldogan, Kunde, Lee, Pedarsani: Multi-bin batching for increasing LLM inference throughput (2024). A batch is full
when `batch` requests of one bin have come (0: as many as max_batch); full batches are first come first served. Who has
waited most_wait_s goes with fewer, so that the last requests are served, too. The bins end at the parameters, by
default the classes of Qiu et al. (2024). A batch computes its prompts, then decodes; where memory is short, the last
of its requests are evicted and come back.
"""

from openqueues.models.llm.planning import go_on, make_room, start

SEES = ("predicted", "arrival", "todo", "held", "decoding", "note0")
SHAPE = "rounds"
INFORMATION = "predictions"
PARAMETERS = {"batch": 0, "most_wait_s": 30.0, "first": 58, "second": 147, "third": 280, "fourth": 499}


def decide(view, plan, batch, most_wait_s, first, second, third, fourth):
    size = int(min(batch, view.max_batch) if batch > 0 else view.max_batch)
    members = 0
    for k in range(plan.size):
        members += 1 if view.note0[k] > 0.0 else 0
    if members == 0:
        counts = [0, 0, 0, 0, 0]
        chosen = -1
        for k in range(plan.size):
            place = bin_of(view.predicted[k], first, second, third, fourth)
            counts[place] += 1
            if counts[place] == size:
                chosen = place
                break
        if chosen < 0:
            if view.now < view.arrival[0] + most_wait_s:
                return view.arrival[0] + most_wait_s
            chosen = bin_of(view.predicted[0], first, second, third, fourth)
        for k in range(plan.size):
            if members < size and bin_of(view.predicted[k], first, second, third, fourth) == chosen:
                view.note0[k] = 1.0
                members += 1
    free, running = make_room(view, plan)
    tokens = go_on(view, plan, view.budget, 0.0)
    for k in range(plan.size):
        if view.note0[k] > 0.0 and (view.held[k] == 0.0 or plan[k] < 0):
            began = False
            if plan[k] == 0:
                began, free, running, tokens = start(view, plan, k, free, running, tokens)
            if not began:
                break
    if not (plan > 0).any():
        go_on(view, plan, view.budget, 1.0)
    return 0.0


def bin_of(predicted, first, second, third, fourth):
    place = 1 if predicted >= first else 0
    place += 1 if predicted >= second else 0
    place += 1 if predicted >= third else 0
    return place + (1 if predicted >= fourth else 0)
