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
