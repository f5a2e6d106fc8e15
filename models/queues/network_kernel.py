"""Event kernel of a network of stations: stages with predecessors wait at stations, each with servers and one order.

A stage is ready when all its predecessors have ended. Its rank is taken when it becomes ready and again when it is
preempted, and it waits with that; the rank of a stage in service is taken whenever it is compared. Stages that end at
one moment end one after another, the lower number first. After each event the stations are looked at where a stage
has just become ready or has ended: idle servers take the first in the order; then, if the network preempts, the first
waiting one takes the server of the last in service as long as its rank is lower. What a preempted stage has got of
service is kept. tests/slow_network.py says the same from the definitions.
"""

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def paths(first, after_first, after, size):
    """(head, tail): per stage the longest sum of sizes that must come before it begins, and after it has ended."""
    head, tail = np.zeros(len(size)), np.zeros(len(size))
    for v in range(len(size)):
        for e in range(after_first[v], after_first[v + 1]):
            head[after[e]] = max(head[after[e]], head[v] + size[v])
    for v in range(len(size) - 1, -1, -1):
        for e in range(after_first[v], after_first[v + 1]):
            tail[v] = max(tail[v], size[after[e]] + tail[after[e]])
    return head, tail


@njit(cache=True, nogil=True)
def visits(first, station, size, head, tail, at):
    """Per job, of its stages at the station `at`: least head, sum of sizes, least tail; and its longest path."""
    n = len(first) - 1
    least_head, work, least_tail, path = np.full(n, math.inf), np.zeros(n), np.full(n, math.inf), np.zeros(n)
    for i in range(n):
        for v in range(first[i], first[i + 1]):
            path[i] = max(path[i], head[v] + size[v] + tail[v])
            if station[v] == at:
                least_head[i] = min(least_head[i], head[v])
                work[i] += size[v]
                least_tail[i] = min(least_tail[i], tail[v])
    return least_head, work, least_tail, path


@njit(cache=True, nogil=True)
def _before(heap_rank, ready, v, w):
    """Whether the stage v goes before w: by rank, then by the time at which they became ready, then by number."""
    if heap_rank[v] != heap_rank[w]:
        return heap_rank[v] < heap_rank[w]
    if ready[v] != ready[w]:
        return ready[v] < ready[w]
    return v < w


@njit(cache=True, nogil=True)
def _push(heap, base, waiting, heap_rank, ready, v):
    i = waiting
    while i > 0:
        parent = (i - 1) >> 1
        if not _before(heap_rank, ready, v, heap[base + parent]):
            break
        heap[base + i] = heap[base + parent]
        i = parent
    heap[base + i] = v


@njit(cache=True, nogil=True)
def _pop(heap, base, waiting, heap_rank, ready):
    """Take the first of `waiting` stages off the heap and return it."""
    top = heap[base]
    last = waiting - 1
    v = heap[base + last]
    i, child = 0, 1
    while child < last:
        if child + 1 < last and _before(heap_rank, ready, heap[base + child + 1], heap[base + child]):
            child += 1
        if not _before(heap_rank, ready, heap[base + child], v):
            break
        heap[base + i] = heap[base + child]
        i = child
        child = 2 * i + 1
    heap[base + i] = v
    return top


@njit(cache=True, nogil=True)
def shortest_first(release, work):
    """Sum of the times at which jobs end at one server of speed 1 by shortest remaining work; release ascends."""
    n = len(release)
    heap, left = np.empty(n, np.int64), work.copy()
    now, total, waiting, coming = 0.0, 0.0, 0, 0
    while waiting > 0 or coming < n:
        if waiting == 0:
            now = max(now, release[coming])
        while coming < n and release[coming] <= now:
            _push(heap, 0, waiting, left, release, coming)
            waiting += 1
            coming += 1
        v = heap[0]
        until = release[coming] if coming < n else math.inf
        if now + left[v] <= until:
            _pop(heap, 0, waiting, left, release)
            waiting -= 1
            now += left[v]
            total += now
        else:
            left[v] -= until - now
            now = until
    return total


@njit(cache=True, nogil=True)
def _rank(rank_of, theta, arrival, first, job, station, sizes, tails, waits, ready, begun, age, finish, v, now):
    """The policy's rank of the stage v as things stand. sizes and tails: rows of the truth and of the predictions."""
    i = job[v]
    left_true = left_told = work_true = work_told = attained = path_true = path_told = job_path = 0.0
    stages = 0
    for w in range(first[i], first[i + 1]):
        if finish[w] >= 0.0:
            attained += sizes[0, w]
            continue
        got = age[w] + (now - begun[w] if begun[w] >= 0.0 else 0.0)
        true, told = max(sizes[0, w] - got, 0.0), max(sizes[1, w] - got, 0.0)
        stages += 1
        attained += got
        work_true += true
        work_told += told
        if waits[w] == 0:
            job_path = max(job_path, told + tails[1, w])
        if w == v:
            left_true, left_told = true, told
            path_true, path_told = true + tails[0, w], told + tails[1, w]
    age_v = age[v] + (now - begun[v] if begun[v] >= 0.0 else 0.0)
    return rank_of(
        arrival[i],
        ready[v],
        float(v - first[i]),
        float(station[v]),
        left_true,
        left_told,
        work_true,
        work_told,
        path_true,
        path_told,
        job_path,
        attained,
        age_v,
        float(stages),
        theta[0],
        theta[1],
        theta[2],
        theta[3],
    )


@njit(cache=True, nogil=True)
def serve(
    rank_of, theta, preempt, servers, arrival, first, job, station, sizes, waits, after_first, after, finish, work
):
    """Serve all jobs to the end; fills finish (stages) and work (jobs), the work in the network at each arrival.

    servers (stations,); arrival (n,) ascending; job, station (stages,); sizes (2, stages): the truth and the
    predictions; waits (stages,): number of predecessors, used up; after_first (stages + 1,) and after: successors.
    Returns (time of service given, preemptions), or (-1, 0) when a rank is no number.
    """
    stages = len(job)
    tails = np.empty((2, stages))
    for row in range(2):
        tails[row] = paths(first, after_first, after, sizes[row])[1]
    stations = len(servers)
    slot_first, heap_first = np.zeros(stations + 1, np.int64), np.zeros(stations + 1, np.int64)
    for v in range(stages):
        heap_first[station[v] + 1] += 1
    for j in range(stations):
        slot_first[j + 1] = slot_first[j] + servers[j]
        heap_first[j + 1] += heap_first[j]
    slots = slot_first[stations]
    serving, end = np.full(slots, -1), np.full(slots, math.inf)
    heap, waiting = np.empty(stages, np.int64), np.zeros(stations, np.int64)
    heap_rank, ready, begun, age = np.zeros(stages), np.full(stages, -1.0), np.full(stages, -1.0), np.zeros(stages)
    touched = np.zeros(stations, np.bool_)
    joining = np.empty(stages, np.int64)
    finish[:] = -1.0
    now, coming, left, busy, served, brought, preempted = 0.0, 0, stages, 0, 0.0, 0.0, 0
    while left > 0:
        slot = 0
        for k in range(1, slots):
            if end[k] < end[slot] or (end[k] == end[slot] and serving[k] < serving[slot]):
                slot = k
        ending = coming == len(arrival) or end[slot] <= arrival[coming]
        moment = end[slot] if ending else arrival[coming]
        served += busy * (moment - now)
        now = moment
        touched[:] = False
        joins = 0
        if ending:
            v = serving[slot]
            finish[v], age[v], begun[v] = now, sizes[0, v], -1.0
            serving[slot], end[slot] = -1, math.inf
            touched[station[v]] = True
            busy -= 1
            left -= 1
            for e in range(after_first[v], after_first[v + 1]):
                waits[after[e]] -= 1
                if waits[after[e]] == 0:
                    joining[joins] = after[e]
                    joins += 1
        else:
            work[coming] = brought - served
            for v in range(first[coming], first[coming + 1]):
                brought += sizes[0, v]
                if waits[v] == 0:
                    joining[joins] = v
                    joins += 1
            coming += 1
        for k in range(joins):
            ready[joining[k]] = now
        for k in range(joins):
            v = joining[k]
            j = station[v]
            touched[j] = True
            heap_rank[v] = _rank(
                rank_of, theta, arrival, first, job, station, sizes, tails, waits, ready, begun, age, finish, v, now
            )
            if heap_rank[v] != heap_rank[v]:
                return -1.0, 0
            _push(heap, heap_first[j], waiting[j], heap_rank, ready, v)
            waiting[j] += 1
        for j in range(stations):
            if not touched[j]:
                continue
            for k in range(slot_first[j], slot_first[j + 1]):
                if serving[k] < 0 and waiting[j] > 0:
                    v = _pop(heap, heap_first[j], waiting[j], heap_rank, ready)
                    waiting[j] -= 1
                    serving[k], begun[v], end[k] = v, now, now + sizes[0, v] - age[v]
                    busy += 1
            while preempt and waiting[j] > 0:
                worst = slot_first[j]
                for k in range(slot_first[j], slot_first[j + 1]):
                    v = serving[k]
                    heap_rank[v] = _rank(
                        rank_of,
                        theta,
                        arrival,
                        first,
                        job,
                        station,
                        sizes,
                        tails,
                        waits,
                        ready,
                        begun,
                        age,
                        finish,
                        v,
                        now,
                    )
                    if heap_rank[v] != heap_rank[v]:
                        return -1.0, 0
                    if _before(heap_rank, ready, serving[worst], v):
                        worst = k
                v = serving[worst]
                if heap_rank[heap[heap_first[j]]] >= heap_rank[v]:
                    break
                w = _pop(heap, heap_first[j], waiting[j], heap_rank, ready)
                age[v] = min(age[v] + now - begun[v], sizes[0, v])
                begun[v] = -1.0
                _push(heap, heap_first[j], waiting[j] - 1, heap_rank, ready, v)
                serving[worst], begun[w], end[worst] = w, now, now + sizes[0, w] - age[w]
                preempted += 1
    return served, preempted
