"""The best schedule of a few jobs in a network with one server a station, for certain: a job shop.

Nothing is preempted and everything is known. `optimum` builds all active schedules, those in which no stage could
begin earlier without delaying another, and one of which has the least sum of response times (Giffler and Thompson
1960): of the stages whose predecessors are placed take the one that could end first, and branch on which of the
stages at its station that could begin before that end comes next. A branch is cut where a lower bound reaches the
best sum: the longest paths from what is placed; or, for a station, what is not placed of its work by shortest
remaining processing time, preempted at will, and the least path after it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from openqueues.models.errors import InputError
from openqueues.models.queues.network import Jobs, path_lengths
from openqueues.models.queues.network_kernel import paths

MOST_STAGES = 64


@dataclass(frozen=True, eq=False)
class Schedule:
    finish: np.ndarray
    """(stages,) when each stage ends."""
    total: float
    """Sum of the response times."""
    proven: bool
    """Whether no schedule has a smaller sum, but for a relative 1e-9."""


def optimum(jobs: Jobs, nodes: int = 5_000_000) -> Schedule:
    """The schedule of least sum of response times; `proven` unless more than `nodes` branches had to be tried.

    Raises InputError for more than MOST_STAGES stages.
    """
    stages = len(jobs.size)
    if stages > MOST_STAGES:
        raise InputError(f"there are {stages} stages: an optimum is searched for up to {MOST_STAGES}.")
    _, tail = paths(jobs.first, jobs.after_first, jobs.after, jobs.size)
    waits = np.bincount(jobs.after, minlength=stages)
    end, best_end = np.full(stages, -1.0), np.full(stages, -1.0)
    free = np.zeros(int(jobs.station.max()) + 1)
    best, count = np.full(1, math.inf), np.zeros(1, np.int64)
    begin = np.zeros((stages + 1, stages))
    _branch(
        0,
        nodes,
        jobs.arrival,
        jobs.first,
        jobs.job,
        jobs.station,
        jobs.size,
        tail,
        jobs.after_first,
        jobs.after,
        waits,
        end,
        free,
        begin,
        best,
        best_end,
        count,
    )
    total = float(best[0])
    return Schedule(best_end, total, bool(count[0] <= nodes or total <= path_lengths(jobs).sum() * (1 + 1e-12)))


@njit(cache=True, nogil=True)
def _station_bound(arrival, first, station, size, tail, end, begin, alone, at):
    """Lower bound on the sum of response times by the stages at one station that are not placed."""
    n = len(first) - 1
    release, left = np.full(n, math.inf), np.zeros(n)
    total, present = 0.0, 0
    for i in range(n):
        least = math.inf
        for v in range(first[i], first[i + 1]):
            if station[v] == at and end[v] < 0.0:
                release[i] = min(release[i], begin[v])
                left[i] += size[v]
                least = min(least, tail[v])
        if left[i] > 0.0:
            total += least - arrival[i]
            present += 1
        else:
            total += alone[i]
    now = 0.0
    while present > 0:
        chosen, until = -1, math.inf
        for i in range(n):
            if left[i] > 0.0:
                if release[i] > now:
                    until = min(until, release[i])
                elif chosen < 0 or left[i] < left[chosen]:
                    chosen = i
        if chosen < 0:
            now = until
        elif now + left[chosen] <= until:
            now += left[chosen]
            left[chosen] = 0.0
            total += now
            present -= 1
        else:
            left[chosen] -= until - now
            now = until
    return total


@njit(cache=True, nogil=True)
def _branch(
    depth,
    most,
    arrival,
    first,
    job,
    station,
    size,
    tail,
    after_first,
    after,
    waits,
    end,
    free,
    begin,
    best,
    best_end,
    count,
):
    """Try all ways to go on after `depth` stages are placed. end: -1 where not placed; returns the depth."""
    stages, n = len(size), len(arrival)
    starts = begin[depth]
    for v in range(stages):
        starts[v] = max(arrival[job[v]], free[station[v]])
    for v in range(stages):
        ends = end[v] if end[v] >= 0.0 else starts[v] + size[v]
        for e in range(after_first[v], after_first[v + 1]):
            starts[after[e]] = max(starts[after[e]], ends)
    alone = np.zeros(n)
    for v in range(stages):
        ends = end[v] if end[v] >= 0.0 else starts[v] + size[v]
        alone[job[v]] = max(alone[job[v]], ends - arrival[job[v]])
    bound = alone.sum()
    if depth == stages:
        if bound < best[0]:
            best[0] = bound
            best_end[:] = end
        return depth
    limit = best[0] * (1.0 - 1e-9)
    if bound >= limit:
        return depth
    for at in range(len(free)):
        if _station_bound(arrival, first, station, size, tail, end, starts, alone, at) >= limit:
            return depth
    soonest, place = math.inf, -1
    for v in range(stages):
        if end[v] < 0.0 and waits[v] == 0 and starts[v] + size[v] < soonest:
            soonest, place = starts[v] + size[v], station[v]
    tried = np.zeros(stages, np.bool_)
    while True:
        u = -1
        for v in range(stages):
            if end[v] < 0.0 and waits[v] == 0 and station[v] == place and not tried[v] and starts[v] < soonest:
                if u < 0 or starts[v] + size[v] < starts[u] + size[u]:
                    u = v
        if u < 0 or count[0] > most:
            return depth
        tried[u] = True
        count[0] += 1
        before = free[place]
        end[u] = free[place] = starts[u] + size[u]
        for e in range(after_first[u], after_first[u + 1]):
            waits[after[e]] -= 1
        _branch(
            depth + 1,
            most,
            arrival,
            first,
            job,
            station,
            size,
            tail,
            after_first,
            after,
            waits,
            end,
            free,
            begin,
            best,
            best_end,
            count,
        )
        for e in range(after_first[u], after_first[u + 1]):
            waits[after[e]] += 1
        end[u] = -1.0
        free[place] = before
