# ruff: noqa: F821
"""Template of the kernel of k servers for ranks that never rise while a job is served.

The k jobs of lowest rank are served. As on one server, only an arrival can preempt: it then takes the place of
the served job of highest rank. `worst` is at least that rank and is made exact only when an arrival is below it:
ranks only fall, so an arrival above it waits without a look at the servers. The servers lie in plain rows that
are searched from end to end, which for up to some hundreds of them costs less than a heap.

A row of a served job is a row of the heap whose first column is the start of its present service. With
`patience`, the last column is the time at which a waiting job leaves, and for a served job the patience that it
has left. Jobs that have left stay in the heap until they are met in it or the next call sweeps it.
"""

import math

import numpy as np
from numba import njit

SINCE, SIZE, PREDICTED, AGE, LEAVES = 0, 2, 3, 4, 5


@njit(cache=True, nogil=True)
def soonest(ends, busy):
    """The busy server whose job is done first, and when."""
    first, end = 0, math.inf
    for j in range(busy):
        if ends[j] < end:
            first, end = j, ends[j]
    return first, end


@njit(cache=True, nogil=True)
def record(done, row, job, time, lost):
    done[row, 0] = time - job[ARRIVAL]
    done[row, 1] = job[SIZE]
    done[row, 2] = job[ARRIVAL]
    done[row, 3] = lost


@njit(cache=True, nogil=True)
def sweep(heap, waiting, now, done):
    """Take the jobs that have left by now off the heap: how many wait, and how many left."""
    kept = lost = 0
    job = np.empty(WIDTH)
    for i in range(waiting):
        job[:] = heap[i]
        if job[LEAVES] <= now:
            record(done, lost, job, job[LEAVES], 1.0)
            lost += 1
        else:
            at = push(heap, kept, job[RANK], job[ARRIVAL])
            heap[at, SIZE:] = job[SIZE:]
            kept += 1
    return kept, lost


@njit(cache=True, nogil=True)
def serve(theta, gaps, sizes, predictions, patience, heap, served, ends, clock, count, drain, done):
    """Serve the arrivals of one chunk; with `drain`, serve on until the system is empty.

    gaps, sizes, predictions: (n,) time to the arrival from the one before, work, prediction. patience: (n,) how
    long each job is ready to wait in all, or (0,) when all are patient.
    heap (m, WIDTH): room for n more jobs than are in the system. served (k, WIDTH), ends (k,): the busy servers'
    jobs and when they are done. Each of the k servers has speed 1/k.
    clock: [now, worst, work, area of number, area of work, and of the job whose rank was not a number arrival,
    size, prediction, age]. count: [jobs waiting, servers busy].
    done (m, 4): rows (time in system, size, arrival, 1 if it left unserved else 0).
    Returns the rows of done, or -1 when a rank was not a number. With patience, number and work have no meaning.
    """
    now, worst, work, area_number, area_work = clock[0], clock[1], clock[2], clock[3], clock[4]
    waiting, busy = count[0], count[1]
    k = ends.size
    pace = float(k)
    impatient = WIDTH > LEAVES
    rows = 0
    if impatient:
        waiting, rows = sweep(heap, waiting, now, done)
    first, end = soonest(ends, busy)
    n = gaps.size
    for i in range(n + 1 if drain else n):
        arrival = now + gaps[i] if i < n else math.inf
        last = now
        while busy > 0 and end <= arrival:
            if i < n:
                span = end - last
                lost = busy * span / pace
                area_number += (waiting + busy) * span
                area_work += (work - 0.5 * lost) * span
                work -= lost
            last = end
            record(done, rows, served[first], end, 0.0)
            rows += 1
            if impatient:
                while waiting > 0 and heap[0, LEAVES] <= end:
                    record(done, rows, heap[0], heap[0, LEAVES], 1.0)
                    rows += 1
                    pop(heap, waiting)
                    waiting -= 1
            if waiting > 0:
                worst = max(worst, heap[0, RANK])
                for column in range(WIDTH):
                    served[first, column] = heap[0, column]
                served[first, SINCE] = end
                if impatient:
                    served[first, LEAVES] -= end
                pop(heap, waiting)
                waiting -= 1
                ends[first] = end + (served[first, SIZE] - served[first, AGE]) * pace
            else:
                busy -= 1
                ends[first] = ends[busy]
                for column in range(WIDTH):
                    served[first, column] = served[busy, column]
                if busy == 0:
                    worst, work = -math.inf, 0.0
            first, end = soonest(ends, busy)
        if i == n:
            break
        size, predicted = sizes[i], predictions[i]
        now = arrival
        span = now - last
        lost = busy * span / pace
        area_number += (waiting + busy) * span
        area_work += (work - 0.5 * lost) * span
        work += size - lost
        rank = rank_of(size, predicted, now, 0.0, theta)
        if math.isnan(rank):
            clock[5], clock[6], clock[7], clock[8] = now, size, predicted, 0.0
            return -1
        slot = busy
        if busy < k:
            busy += 1
            worst = max(worst, rank)
        elif rank < worst or (NEWEST_FIRST and rank == worst):
            slot, worst = 0, -math.inf
            for j in range(k):
                age = served[j, AGE] + (now - served[j, SINCE]) / pace
                other = rank_of(served[j, SIZE], served[j, PREDICTED], served[j, ARRIVAL], age, theta)
                if math.isnan(other):
                    clock[5], clock[6] = served[j, ARRIVAL], served[j, SIZE]
                    clock[7], clock[8] = served[j, PREDICTED], age
                    return -1
                if j == 0 or goes_before(worst, served[slot, ARRIVAL], other, served[j, ARRIVAL]):
                    slot, worst = j, other
            if goes_before(rank, now, worst, served[slot, ARRIVAL]):
                at = push(heap, waiting, worst, served[slot, ARRIVAL])
                heap[at, SIZE] = served[slot, SIZE]
                heap[at, PREDICTED] = served[slot, PREDICTED]
                heap[at, AGE] = served[slot, AGE] + (now - served[slot, SINCE]) / pace
                if impatient:
                    heap[at, LEAVES] = now + served[slot, LEAVES]
                waiting += 1
            else:
                slot = k
        if slot < k:
            served[slot, SINCE] = now
            served[slot, ARRIVAL] = now
            served[slot, SIZE] = size
            served[slot, PREDICTED] = predicted
            served[slot, AGE] = 0.0
            if impatient:
                served[slot, LEAVES] = patience[i]
            ends[slot] = now + size * pace
            if slot == first or ends[slot] < end:
                first, end = soonest(ends, busy)
        else:
            at = push(heap, waiting, rank, now)
            heap[at, SIZE] = size
            heap[at, PREDICTED] = predicted
            heap[at, AGE] = 0.0
            if impatient:
                heap[at, LEAVES] = now + patience[i]
            waiting += 1
    clock[0], clock[1], clock[2], clock[3], clock[4] = now, worst, work, area_number, area_work
    count[0], count[1] = waiting, busy
    return rows
