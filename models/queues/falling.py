# ruff: noqa: F821
"""Template of the single-server kernel for ranks that never rise while a job is served.

`rank_of` is the policy's rank; `compiled.py` writes both into one module and compiles it there. Since the
rank of the job in service can only fall, nothing but an arrival can preempt it, and the ranks of the waiting
jobs are frozen: a heap is enough.

A job lives in a slot, a row of `jobs` with the columns ARRIVAL, SIZE, PREDICTED, AGE. `heap_rank` and
`heap_slot` hold the waiting jobs, lowest rank first, ties in order of arrival. `clock` and `count` carry the
state from one call to the next, so that a run of any length needs only the memory of the jobs in the system.
"""

import math

from numba import njit


@njit(cache=True, nogil=True)
def serve(theta, gaps, sizes, predictions, jobs, heap_rank, heap_slot, free, clock, count, drain, done):
    """Serve the arrivals of one chunk; with `drain`, serve on until the system is empty.

    gaps, sizes, predictions: (n,) time to the arrival from the one before, service time, prediction.
    jobs (m, 4), heap_rank, heap_slot, free (m,): workspaces for at least n more jobs than are in the system.
    clock: [now, end of service or inf, start of this service, work waiting, area of number, area of work].
    count: [waiting, slot in service or -1, free slots]. done (m, 3): rows (response time, size, arrival).
    Returns the number of completions, or -1 - slot when the rank of the job in that slot was not a number.
    """
    now, end, since, work = clock[0], clock[1], clock[2], clock[3]
    area_number, area_work = clock[4], clock[5]
    waiting, running, spare = count[0], count[1], count[2]
    completed = 0
    n = gaps.size
    for i in range(n + 1 if drain else n):
        arrival = now + gaps[i] if i < n else math.inf
        last = now
        if i < n and running >= 0:
            level = work + (end - now)
            gap = gaps[i]
            area_work += gap * (level - 0.5 * gap) if gap < level else 0.5 * level * level
        while end <= arrival and running >= 0:
            if i < n:
                area_number += (waiting + 1) * (end - last)
            last = end
            done[completed, 0] = end - jobs[running, ARRIVAL]
            done[completed, 1] = jobs[running, SIZE]
            done[completed, 2] = jobs[running, ARRIVAL]
            completed += 1
            free[spare] = running
            spare += 1
            if waiting == 0:
                running = -1
                work = 0.0
                end = math.inf
            else:
                running = heap_slot[0]
                pop(heap_rank, heap_slot, jobs, waiting)
                waiting -= 1
                left = jobs[running, SIZE] - jobs[running, AGE]
                work = work - left if waiting > 0 else 0.0
                since = end
                end += left
        if i == n:
            break
        size = sizes[i]
        prediction = predictions[i]
        spare -= 1
        slot = free[spare]
        jobs[slot, ARRIVAL] = arrival
        jobs[slot, SIZE] = size
        jobs[slot, PREDICTED] = prediction
        jobs[slot, AGE] = 0.0
        now = arrival
        if running < 0:
            running = slot
            since = now
            end = now + size
            continue
        area_number += (waiting + 1) * (now - last)
        rank = rank_of(size, prediction, arrival, 0.0, theta)
        age = jobs[running, AGE] + (now - since)
        served = rank_of(jobs[running, SIZE], jobs[running, PREDICTED], jobs[running, ARRIVAL], age, theta)
        if rank < served or (NEWEST_FIRST and rank == served):
            jobs[running, AGE] = age
            push(heap_rank, heap_slot, jobs, waiting, served, running)
            waiting += 1
            work += end - now
            running = slot
            since = now
            end = now + size
        elif rank >= served:
            push(heap_rank, heap_slot, jobs, waiting, rank, slot)
            waiting += 1
            work += size
        else:
            return -1 - (slot if math.isnan(rank) else running)
    clock[0], clock[1], clock[2], clock[3] = now, end, since, work
    clock[4], clock[5] = area_number, area_work
    count[0], count[1], count[2] = waiting, running, spare
    return completed
