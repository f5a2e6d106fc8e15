"""Slow, obvious twins of the kernels of several servers: plain Python that looks at every job at every event."""

import math


def by_rank(rank, arrivals, sizes, predictions, servers, patience=None, newest_first=False):
    """(time in system, left unserved) of each job: the `servers` jobs of lowest rank are served at speed 1/k.

    A waiting job loses patience, and leaves when it has none.
    """
    n = len(sizes)
    age, left = [0.0] * n, list(patience) if patience is not None else [math.inf] * n
    present, time, lost = set(), [math.nan] * n, [False] * n
    now, upcoming = 0.0, 0

    def key(job):
        tie = -arrivals[job] if newest_first else arrivals[job]
        return (rank(sizes[job], predictions[job], arrivals[job], age[job]), tie)

    while upcoming < n or present:
        order = sorted(present, key=key)
        serving, waiting = order[:servers], order[servers:]
        events = [(arrivals[upcoming], "arrival", upcoming)] if upcoming < n else []
        events += [(now + (sizes[job] - age[job]) * servers, "end", job) for job in serving]
        events += [(now + left[job], "leave", job) for job in waiting if left[job] < math.inf]
        then, kind, job = min(events)
        for other in serving:
            age[other] += (then - now) / servers
        for other in waiting:
            left[other] -= then - now
        now = then
        if kind == "arrival":
            present.add(job)
            upcoming += 1
        else:
            present.remove(job)
            time[job], lost[job] = now - arrivals[job], kind == "leave"
    return time, lost


def on_several(deal, arrivals, sizes, powers, servers):
    """Response times when deal(jobs present in order of arrival, ages) says how many servers each job has."""
    n = len(sizes)
    age, present, response = [0.0] * n, [], [math.nan] * n
    now, upcoming = 0.0, 0
    while upcoming < n or present:
        given = deal(present, age) if present else {}
        speed = {job: (g if g <= 1 else g ** powers[job]) / servers for job, g in given.items() if g > 0}
        events = [(arrivals[upcoming], "arrival", upcoming)] if upcoming < n else []
        events += [(now + (sizes[job] - age[job]) / speed[job], "end", job) for job in speed]
        then, kind, job = min(events)
        for other in speed:
            age[other] += speed[other] * (then - now)
        now = then
        if kind == "arrival":
            present.append(job)
            upcoming += 1
        else:
            present.remove(job)
            response[job] = now - arrivals[job]
    return response


def by_bids(bid, servers):
    """deal() for bids: bid(job, ages, given, jobs present) for one server more, the highest first."""

    def deal(present, age):
        given = dict.fromkeys(present, 0)
        for _ in range(servers):
            best = max(present, key=lambda job: bid(job, age, given[job], present))  # the oldest among equals
            given[best] += 1
        return given

    return deal


def by_rule(rank, needs, rule, servers):
    """deal() for multiserver jobs under one of the three rules."""

    def deal(present, age):
        order = sorted(present, key=lambda job: rank(job, age))
        if rule == "server filling":
            front = []
            while order and sum(needs[job] for job in front) < servers:
                front.append(order.pop(0))
            order = sorted(front, key=lambda job: -needs[job])
        given, free = {}, servers
        for job in order:
            if needs[job] <= free:
                given[job] = needs[job]
                free -= needs[job]
            elif rule == "in order":
                break
        return given

    return deal
