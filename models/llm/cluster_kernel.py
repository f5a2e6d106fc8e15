# ruff: noqa: F821
"""Template of the cluster's kernel, the last part: the loop over the events.

The next event is the earliest of those in the heap, or the iteration that begins next. Events of a time come before
the iterations that begin then. Where nothing that happens at one instance changes the others before the next event
(`reactive` is false), all instances run to that event, one after the other, which is faster.
"""

import numpy as np
from numba import njit


@part
def happen(c, time, kind, i):
    """Handle an event."""
    if kind == END:
        k = c.job[i, AT]
        c.fleet[k, PRESENT] -= 1
        c.total[FINISHED] += 1
        ended(c, i, time)
        fetch(c, k, time)
        begin_change(c, k, time)
    elif kind == CHANGE:
        k = c.changes[i, 0]
        if c.changes[i, 1] == 0 and c.fleet[k, UP] == 1:
            go_down(c, k, time)
        elif c.changes[i, 1] == 1 and c.fleet[k, UP] == 0:
            come_up(c, k, time)
    elif kind == SWITCHED:
        if c.fleet[i, SWITCHING] == 1 and c.meter[i, SWITCH_AT] == time:
            finish_change(c, i, time)
    elif kind == TICK:
        changed = tick(c, time)
        awake = c.meter[first_awake(c), WAKE] < np.inf
        if c.total[FINISHED] + c.total[REFUSALS] < c.n and (changed or awake or c.total[EVENTS] > 0):
            post(c, time + 1000.0 * c.controls[C_INTERVAL], TICK, 0)
    elif c.real[i, DUE] != time:
        return
    elif kind == HANDED_OVER and c.job[i, STATE] == HANDED:
        if c.job[i, SOURCE] < 0:
            c.job[i, SOURCE] = c.job[i, AT]
        send_on(c, i, time)
    elif kind == LOADED and c.job[i, STATE] == LOADS:
        loaded(c, i, time)
    elif kind == ARRIVE and c.job[i, STATE] == COMING:
        if c.real[i, ARRIVED] == time:
            c.controls[C_ARRIVED] += 1.0
            c.controls[C_ARRIVED_INPUT] += c.job[i, INPUT]
            c.controls[C_ARRIVED_PREDICTED] += c.real[i, PREDICTED] if c.real[i, PREDICTED] >= 0 else 0.0
        arrive(c, i, time)


@part
def run_all(c, time, reactive):
    """Run what begins before `time`, or only the first of it (if reactive); returns whether to ask again."""
    if reactive:
        k = first_awake(c)
        if c.meter[k, WAKE] < time:
            run(c, k, np.nextafter(c.meter[k, WAKE], np.inf))
            return True
        return False
    for k in range(c.meter.shape[0]):
        if c.meter[k, WAKE] < time:
            run(c, k, min(time, _LATE))
    return False


@njit(cache=True, nogil=True)
def wider(queue, used):
    """The queues, with room for more if `used` is close to what they have."""
    if used + 2 <= queue.shape[1]:
        return queue
    new = np.empty((queue.shape[0], 2 * used + 64, 2))
    new[:, : queue.shape[1]] = queue
    return new


@njit(cache=True, nogil=True)
def longer(events, used):
    """The heap of events, with room for more if `used` is close to what it has."""
    if used + 64 <= events.shape[0]:
        return events
    new = np.empty((2 * used + 64, 2))
    new[: events.shape[0]] = events
    return new


@njit(cache=True, nogil=True)
def serve(
    ranks,
    admits,
    score_of,
    job,
    real,
    constants,
    refresh_start,
    refreshed,
    trees,
    path_start,
    path,
    every,
    setting,
    reserved,
    fleet,
    meter,
    model_of,
    values,
    first,
    columns,
    control_of,
    controls,
    changes,
    change_ms,
    switch_ms,
    more,
    stages,
    handles,
    slots,
):
    """Serve all requests in a cluster of K instances; fills job, real, fleet and meter as the engine's serve does.

    ranks, admits: four functions of policies each; score_of: the router's. job (n, 18), real (n, 11), constants (K, .),
    trees (K, ., 5), setting (K, 21), reserved (plans, n), fleet (K, 13), meter (K, 7): see cluster_state_kernel.py.
    model_of (n,): the model that must serve a request, -1 any; values (n, 4): columns of the request for routers.
    first: the requests that arrive by themselves, in order of time. columns (37,): the router's, of which the last four
    are its parameters. control_of: the controller's; controls (16,): its columns, of which `interval` is given, 0
    without one, and its parameters. changes (m, 2): of what happens at change_ms (m,) the instance, and whether it
    comes up. switch_ms: time to change a role. more: (choices, looks, seed, reactive, layers). stages, handles, slots:
    see programs_kernel.py. Returns (count (K, COUNTS), clock (K, 6), total).
    """
    n, instances = job.shape[0], fleet.shape[0]
    choices, looks, seed, reactive, layers = more
    stages = Stages(*stages)
    block, most_running, leaves = setting[0, 0], 0, 0
    for k in range(instances):
        most_running = max(most_running, setting[k, 1])
        leaves = max(leaves, 2 * trees.shape[1] + 64 if setting[k, 15] != 0 else 0)
    places = min(n, most_running) + 1
    count, clock = np.zeros((instances, COUNTS), np.int64), np.zeros((instances, 6))
    for k in range(instances):
        count[k, FREE], count[k, PARTIAL], count[k, LAST_KEEPER], count[k, LAST_LOGGED] = setting[k, 20], -1, -1, -1
        count[k, NEXT] = n  # the engine's own arrivals: none
        clock[k, NOW] = real[first[0], ARRIVED]
        meter[k, WAKE] = np.inf
    total = np.zeros(10, np.int64)
    total[PARK_FIRST] = total[PARK_LAST] = -1
    queue = np.empty((instances, min(n, 1024) + 2, 2))
    lists = np.empty((instances, 5, 2 * places + 64), np.int64)
    phases = np.zeros((instances, block), np.int64)
    leaving = np.empty((instances, leaves, 2))
    events = np.empty((2 * n + 64, 2))
    mark = np.zeros(instances, np.int64)
    begun = False
    while True:
        c = Cluster(
            ranks,
            admits,
            score_of,
            job,
            real,
            queue,
            lists,
            phases,
            count,
            clock,
            constants,
            refresh_start,
            refreshed,
            trees,
            path_start,
            path,
            leaving,
            n,
            every,
            setting,
            reserved,
            fleet,
            meter,
            total,
            events,
            model_of,
            values,
            columns,
            mark,
            choices,
            looks,
            seed,
            layers,
            control_of,
            controls,
            switch_ms,
            changes,
            stages.whole.shape[0] > 0,
            stages,
            handles,
            slots,
        )
        if not begun:
            for i in first:
                release(c, i, real[i, ARRIVED])
            for change in range(changes.shape[0]):
                post(c, change_ms[change], CHANGE, change)
            if controls[C_INTERVAL] > 0:
                post(c, clock[0, NOW] + 1000.0 * controls[C_INTERVAL], TICK, 0)
            begun = True
        cramped = False
        while total[BROKEN] == 0 and total[BROKEN_SCORE] == 0 and not cramped:
            time = events[0, RANK] if total[EVENTS] > 0 else np.inf
            if run_all(c, time, reactive != 0):
                continue
            if total[EVENTS] == 0:
                break
            time, key = events[0, RANK], int(events[0, ARRIVAL])
            pop(events, total[EVENTS])
            total[EVENTS] -= 1
            happen(c, time, key // _KIND, key % _KIND)
            cramped = total[MOST_PRESENT] + 2 > queue.shape[1] or total[EVENTS] + n + 64 > events.shape[0]
        if not cramped:
            break
        queue = wider(queue, total[MOST_PRESENT])
        events = longer(events, total[EVENTS] + n)
    return count, clock, total
