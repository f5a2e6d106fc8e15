"""Kernels of the two disciplines that need no rank: first come first served, and processor sharing."""

import math

from numba import njit
from openqueues.models.queues.heap import AGE, ARRIVAL, SIZE, pop, push


@njit(cache=True, nogil=True)
def serve_fcfs(gaps, sizes, clock, count, done):
    """Lindley's recursion over the arrivals of one chunk; every job is done within its call.

    clock: [arrival of the last job, unused, unused, work left just after it, area of number, area of work].
    count: [first job that ends after the last arrival]. done (n, 3): rows (response time, size, arrival).
    Returns n.
    The area under the number in system is the sum of the response times, which is the same from one empty
    system to the next.
    """
    now, work = clock[0], clock[3]
    area_number, area_work = clock[4], clock[5]
    n = gaps.size
    for i in range(n):
        gap = gaps[i]
        left = max(work - gap, 0.0)
        area_work += 0.5 * (work - left) * (work + left)
        now += gap
        work = left + sizes[i]
        area_number += work
        done[i, 0] = work
        done[i, 1] = sizes[i]
        done[i, 2] = now
    first = n
    while first > 0 and done[first - 1, 2] + done[first - 1, 0] > now:
        first -= 1
    count[0] = first
    clock[0], clock[3], clock[4], clock[5] = now, work, area_number, area_work
    return n


@njit(cache=True, nogil=True)
def serve_sharing(gaps, sizes, jobs, heap_rank, heap_slot, free, clock, count, drain, done):
    """Processor sharing over the arrivals of one chunk; with `drain`, until the system is empty.

    A job of size s that arrives when each job present has been given v of service since time 0 leaves when
    that virtual time reaches v + s: a heap of those. clock: [now, virtual time, unused, work in the system,
    area of number, area of work]; count: [jobs in the system, unused, free slots]. Otherwise as in the
    falling kernel.
    """
    now, virtual, work = clock[0], clock[1], clock[3]
    area_number, area_work = clock[4], clock[5]
    present, spare = count[0], count[2]
    completed = 0
    n = gaps.size
    for i in range(n + 1 if drain else n):
        arrival = now + gaps[i] if i < n else math.inf
        if i < n:
            gap = gaps[i]
            area_work += gap * (work - 0.5 * gap) if gap < work else 0.5 * work * work
            work = max(work - gap, 0.0)
        while present > 0:
            end = now + (heap_rank[0] - virtual) * present
            if end > arrival:
                virtual += (arrival - now) / present
                break
            area_number += present * (end - now) if i < n else 0.0
            now = end
            virtual = heap_rank[0]
            slot = heap_slot[0]
            pop(heap_rank, heap_slot, jobs, present)
            present -= 1
            done[completed, 0] = now - jobs[slot, ARRIVAL]
            done[completed, 1] = jobs[slot, SIZE]
            done[completed, 2] = jobs[slot, ARRIVAL]
            completed += 1
            free[spare] = slot
            spare += 1
        if i == n:
            break
        area_number += present * (arrival - now)
        now = arrival
        if present == 0:
            virtual = 0.0
            work = 0.0
        spare -= 1
        slot = free[spare]
        jobs[slot, ARRIVAL] = now
        jobs[slot, SIZE] = sizes[i]
        jobs[slot, AGE] = 0.0
        push(heap_rank, heap_slot, jobs, present, virtual + sizes[i], slot)
        present += 1
        work += sizes[i]
    clock[0], clock[1], clock[3], clock[4], clock[5] = now, virtual, work, area_number, area_work
    count[0], count[2] = present, spare
    return completed
