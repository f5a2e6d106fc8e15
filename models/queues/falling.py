# ruff: noqa: F821
"""Template of the single-server kernel for ranks that never rise while a job is served.

`rank_of` is the policy's rank; `compiled.py` writes both into one module and compiles it there. Since the
rank of the job in service can only fall, nothing but an arrival can preempt it, and the ranks of the waiting
jobs are frozen: a heap is enough.

`clock` and `count` carry the state from one call to the next, so that a run of any length needs only the
memory of the jobs in the system.
"""

import math

import numpy as np
from numba import njit

SIZE, PREDICTED, AGE = 2, 3, 4


@njit(cache=True, nogil=True)
def wait(heap, waiting, rank, arrival, size, predicted, age):
    i = push(heap, waiting, rank, arrival)
    heap[i, SIZE] = size
    heap[i, PREDICTED] = predicted
    heap[i, AGE] = age


@njit(cache=True, nogil=True)
def serve(theta, gaps, sizes, predictions, heap, clock, count, drain, done):
    """Serve the arrivals of one chunk; with `drain`, serve on until the system is empty.

    gaps, sizes, predictions: (n,) time to the arrival from the one before, service time, prediction.
    heap (m, 5): room for n more jobs than are in the system.
    clock: [now, end of service or inf, start of this service, work waiting, area of number, area of work,
    unused, and of the job in service arrival, size, prediction and age when its service began].
    count: [waiting, jobs in service (0 or 1)]. done (m, 3): rows (response time, size, arrival).
    Returns the number of completions, or -1 when the rank of the job left in clock[7:11] was not a number.
    """
    now, end, since, work = clock[0], clock[1], clock[2], clock[3]
    area_number, area_work = clock[4], clock[5]
    waiting, busy = count[0], count[1] > 0
    r_arrival, r_size, r_predicted, r_age = clock[7], clock[8], clock[9], clock[10]
    completed = np.uint64(0)
    n = gaps.size
    for i in range(n + 1 if drain else n):
        arrival = now + gaps[i] if i < n else math.inf
        last = now
        if i < n and busy:
            before = work + (end - now)
            after = max(before - gaps[i], 0.0)
            area_work += 0.5 * (before - after) * (before + after)
        while busy and end <= arrival:
            if i < n:
                area_number += (waiting + 1) * (end - last)
            last = end
            done[completed, 0] = end - r_arrival
            done[completed, 1] = r_size
            done[completed, 2] = r_arrival
            completed += np.uint64(1)
            if waiting == 0:
                busy = False
                work = 0.0
                end = math.inf
            else:
                r_arrival, r_size = heap[0, ARRIVAL], heap[0, SIZE]
                r_predicted, r_age = heap[0, PREDICTED], heap[0, AGE]
                pop(heap, waiting)
                waiting -= 1
                left = r_size - r_age
                work = work - left if waiting > 0 else 0.0
                since = end
                end += left
        if i == n:
            break
        size = sizes[i]
        predicted = predictions[i]
        now = arrival
        if busy:
            area_number += (waiting + 1) * (now - last)
            rank = rank_of(size, predicted, arrival, 0.0, theta)
            age = r_age + (now - since)
            served = rank_of(r_size, r_predicted, r_arrival, age, theta)
            if rank < served or (NEWEST_FIRST and rank == served):
                wait(heap, waiting, served, r_arrival, r_size, r_predicted, age)
                waiting += 1
                work += end - now
            elif rank >= served:
                wait(heap, waiting, rank, arrival, size, predicted, 0.0)
                waiting += 1
                work += size
                continue
            else:
                if math.isnan(rank):
                    r_arrival, r_size, r_predicted, age = arrival, size, predicted, 0.0
                clock[7], clock[8], clock[9], clock[10] = r_arrival, r_size, r_predicted, age
                return -1
        busy = True
        r_arrival, r_size, r_predicted, r_age = arrival, size, predicted, 0.0
        since = now
        end = now + size
    clock[0], clock[1], clock[2], clock[3] = now, end, since, work
    clock[4], clock[5] = area_number, area_work
    clock[7], clock[8], clock[9], clock[10] = r_arrival, r_size, r_predicted, r_age
    count[0], count[1] = waiting, 1 if busy else 0
    return np.int64(completed)
