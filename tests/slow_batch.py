"""Batches said slowly: one server, plain lists, every event in turn; the meaning of models/queues/batch.py."""

from __future__ import annotations

import math


def serve(arrival, tokens, time, least=1, most=None, bins=None, elastic=False):
    """(start, finish, batches, busy) as lists and numbers."""
    n = len(arrival)
    most = math.inf if most is None else most
    bins = [0] * n if bins is None else list(bins)
    waiting = {k: [] for k in sorted(set(bins))}
    since = dict.fromkeys(waiting, math.inf)  # when a bin became ready
    start, finish = [math.nan] * n, [math.nan] * n
    now, coming, batches, busy = 0.0, 0, 0, 0.0

    def update(k):
        """A bin is ready from the arrival of the request that makes it so."""
        if len(waiting[k]) >= least:
            since[k] = arrival[waiting[k][least - 1]]
        elif waiting[k] and coming == n:
            since[k] = arrival[n - 1]
        else:
            since[k] = math.inf

    while coming < n or any(waiting.values()):
        while coming < n and arrival[coming] <= now:
            waiting[bins[coming]].append(coming)
            coming += 1
        for k in waiting:
            update(k)
        if min(since.values()) > now:
            now = arrival[coming]
            continue
        chosen = min(waiting, key=lambda k: (since[k], k))
        batch = [i for place, i in enumerate(waiting[chosen]) if place < most]
        waiting[chosen] = waiting[chosen][len(batch) :]
        ends = [now + ending(tokens[i], [tokens[j] for j in batch], time, elastic) for i in batch]
        for i, end in zip(batch, ends, strict=True):
            start[i], finish[i] = now, end
        batches += 1
        busy += max(ends) - now
        now = max(ends)
    return start, finish, batches, busy


def ending(own, batch, time, elastic):
    """When a request of a batch ends, after its start: token by token with elastic batches."""
    b = len(batch)
    if not elastic:
        return time.fixed + time.per_request * b + (time.per_token + time.per_both * b) * max(batch)
    passed, at = time.fixed + time.per_request * b, 0
    for level in sorted({n for n in batch if n <= own}):
        passed += (level - at) * (time.per_token + time.per_both * sum(n > at for n in batch))
        at = level
    return passed
