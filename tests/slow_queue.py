"""Slow, obvious twins of the single-server kernels: plain Python, one job after another, nothing clever."""

import math


def by_rank(rank, arrivals, sizes, predictions, newest_first=False):
    """Response times under a rank that never rises in service: at every event look at every job."""
    n = len(sizes)
    age = [0.0] * n
    left = set()
    response = [math.nan] * n
    now, upcoming, running = 0.0, 0, None

    def key(job):
        tie = -arrivals[job] if newest_first else arrivals[job]
        return (rank(sizes[job], predictions[job], arrivals[job], age[job]), tie)

    while upcoming < n or left:
        arrival = arrivals[upcoming] if upcoming < n else math.inf
        if not left:
            now = arrival
            left.add(upcoming)
            upcoming += 1
            continue
        running = min(left, key=key)
        end = now + sizes[running] - age[running]
        if end <= arrival:
            now = end
            response[running] = now - arrivals[running]
            left.remove(running)
        else:
            age[running] += arrival - now
            now = arrival
            left.add(upcoming)
            upcoming += 1
    return response


def by_quantum(rank, arrivals, sizes, predictions, quantum):
    """Response times under any rank: the lowest is served for one quantum, then all are compared again."""
    n = len(sizes)
    age = [0.0] * n
    left = set()
    response = [math.nan] * n
    now, upcoming = 0.0, 0
    while upcoming < n or left:
        arrival = arrivals[upcoming] if upcoming < n else math.inf
        if not left:
            now = arrival
        if now >= arrival:
            left.add(upcoming)
            upcoming += 1
            continue
        job = min(left, key=lambda j: (rank(sizes[j], predictions[j], arrivals[j], age[j]), arrivals[j]))
        step = min(quantum, sizes[job] - age[job], arrival - now)
        age[job] += step
        now += step
        if age[job] >= sizes[job] - 1e-12:
            response[job] = now - arrivals[job]
            left.remove(job)
    return response


def by_sharing(share, arrivals, sizes):
    """Response times when `share(ages)` says which fraction of the server each job present gets.

    The shares may only change at arrivals, completions and when two ages meet.
    """
    n = len(sizes)
    age = {}
    response = [math.nan] * n
    now, upcoming = 0.0, 0
    while upcoming < n or age:
        arrival = arrivals[upcoming] if upcoming < n else math.inf
        if not age:
            now = arrival
        if now >= arrival:
            age[upcoming] = 0.0
            upcoming += 1
            continue
        rate = share(age)
        step = arrival - now
        for job in age:
            if rate[job] > 0:
                step = min(step, (sizes[job] - age[job]) / rate[job])
                for other in age:
                    if rate[other] < rate[job] and age[other] > age[job]:
                        step = min(step, (age[other] - age[job]) / (rate[job] - rate[other]))
        now += step
        for job in list(age):
            age[job] += rate[job] * step
            if age[job] >= sizes[job] - 1e-11:
                response[job] = now - arrivals[job]
                del age[job]
    return response
