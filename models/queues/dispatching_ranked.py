# ruff: noqa: F821
"""Template of the dispatching kernel where every queue serves by a rank that never rises in service.

`decide_of` is the dispatcher's score of a queue, `rank_of` the rank of a job at its queue. Queues do not touch
each other, so each is brought up to date only when an arrival asks it: there is no list of all events.
"""

import math

from numba import njit

SIZE, PREDICTED, AGE = 2, 3, 4  # of a row of a heap
END, SINCE, R_ARRIVAL, R_SIZE, R_PREDICTED, R_AGE = 0, 1, 2, 3, 4, 5  # of the job in service


@njit(cache=True, nogil=True)
def rank_at(size, predicted, arrival, age, theta):
    return rank_of(size, predicted, arrival, age, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, theta)


@njit(cache=True, nogil=True)
def wait(heap, waiting, rank, arrival, size, predicted, age):
    i = push(heap, waiting, rank, arrival)
    heap[i, SIZE] = size
    heap[i, PREDICTED] = predicted
    heap[i, AGE] = age


@njit(cache=True, nogil=True)
def look(heap, waiting, job, now, predicted):
    """(work, predicted work, jobs predicted the same, shorter, longer, predicted work ahead) of a queue."""
    work, foreseen, ahead = 0.0, 0.0, 0.0
    same, shorter, longer = 0.0, 0.0, 0.0
    if job[END] < math.inf:
        age = job[R_AGE] + max(now - job[SINCE], 0.0)
        other = job[R_PREDICTED]
        work = job[R_SIZE] - age
        foreseen = max(other - age, 0.0)
        ahead = foreseen if foreseen <= predicted else 0.0
        if other == predicted:
            same = 1.0
        elif other < predicted:
            shorter = 1.0
        else:
            longer = 1.0
    for row in range(waiting):
        age, other = heap[row, AGE], heap[row, PREDICTED]
        work += heap[row, SIZE] - age
        left = max(other - age, 0.0)
        foreseen += left
        if left <= predicted:
            ahead += left
        if other == predicted:
            same += 1.0
        elif other < predicted:
            shorter += 1.0
        else:
            longer += 1.0
    return work, foreseen, same, shorter, longer, ahead


@njit(cache=True, nogil=True)
def advance(heap, waiting, job, now, count, done):
    """Serve a queue up to `now`; returns the number of its jobs that wait."""
    end = job[END]
    while end <= now:
        row = count[1]
        done[row, 0] = end - job[R_ARRIVAL]
        done[row, 1] = job[R_SIZE]
        done[row, 2] = job[R_ARRIVAL]
        count[1] += 1
        if waiting == 0:
            end = math.inf
        else:
            job[R_ARRIVAL], job[R_SIZE] = heap[0, ARRIVAL], heap[0, SIZE]
            job[R_PREDICTED], job[R_AGE] = heap[0, PREDICTED], heap[0, AGE]
            job[SINCE] = end
            pop(heap, waiting)
            waiting -= 1
            end += job[R_SIZE] - job[R_AGE]
        job[END] = end
    return waiting


@njit(cache=True, nogil=True)
def join(heap, waiting, job, now, size, predicted, theta):
    """Add an arrival to its queue; returns the number that wait, or -1 when a rank is not a number."""
    if job[END] < math.inf:
        rank = rank_at(size, predicted, now, 0.0, theta)
        age = job[R_AGE] + (now - job[SINCE])
        served = rank_at(job[R_SIZE], job[R_PREDICTED], job[R_ARRIVAL], age, theta)
        if rank < served or (NEWEST_FIRST and rank == served):
            wait(heap, waiting, served, job[R_ARRIVAL], job[R_SIZE], job[R_PREDICTED], age)
            waiting += 1
        elif rank >= served:
            wait(heap, waiting, rank, now, size, predicted, 0.0)
            return waiting + 1
        else:
            return -1
    job[R_ARRIVAL], job[R_SIZE], job[R_PREDICTED], job[R_AGE] = now, size, predicted, 0.0
    job[SINCE] = now
    job[END] = now + size
    return waiting


@njit(cache=True, nogil=True)
def serve(theta, needs, everyone, until, gaps, sizes, predictions, routing, heaps, waits, jobs, clock, count,
          scores, chosen, done):  # fmt: skip
    """Send the arrivals from count[0] on to their queues; then serve all queues up to the time `until`.

    As the kernel for first come first served, with heaps (n, room, 5), waits (n,): jobs waiting, and jobs (n, 6):
    of the job in service its completion (inf if there is none), start of this service, arrival, size, prediction
    and age at that start. Completions are written to done when a queue is brought up to date.
    Returns 0, 1 when a heap must grow before arrival count[0] can be placed, -1 when a score is not a number,
    -2 when a rank is not one.
    """
    n, room = heaps.shape[0], heaps.shape[1]
    d = routing.shape[1] - 1
    asked = n if everyone else d
    now = clock[0]
    total = count[2]
    for i in range(count[0], gaps.size):
        arrival = now + gaps[i]
        size, predicted = sizes[i], predictions[i]
        if not everyone:
            sample(routing[i], n, d, chosen)
        best, ties = math.inf, 0
        for k in range(asked):
            q = k if everyone else chosen[k]
            number = 0
            work, foreseen, same, shorter, longer, ahead = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            if needs > 0:
                job = jobs[q]
                if job[END] <= arrival:
                    waits[q] = advance(heaps[q], waits[q], job, arrival, count, done)
                number = waits[q] + (1 if job[END] < math.inf else 0)
                if needs > 1:
                    work, foreseen, same, shorter, longer, ahead = look(heaps[q], waits[q], job, arrival, predicted)
            turn = (q - total) % n
            score = decide_of(
                size, predicted, arrival, 0.0, number, work, foreseen, same, shorter, longer, ahead, turn, theta
            )
            scores[k] = score
            if score < best:
                best, ties = score, 1
            elif score == best:
                ties += 1
            elif score != score:
                count[0], count[2] = i, total
                clock[0] = now
                return -1
        k = pick(scores, asked, best, ties, routing[i, d]) if ties > 1 else pick(scores, asked, best, 1, 0.0)
        q = k if everyone else chosen[k]
        heap, job = heaps[q], jobs[q]
        waiting = waits[q]
        if job[END] <= arrival:
            waiting = advance(heap, waiting, job, arrival, count, done)
            waits[q] = waiting
        if waiting == room:
            count[0], count[2] = i, total
            clock[0] = now
            return 1
        waiting = join(heap, waiting, job, arrival, size, predicted, theta)
        if waiting < 0:
            count[0], count[2] = i, total
            clock[0] = now
            return -2
        waits[q] = waiting
        now = arrival
        total += 1
    count[0], count[2] = gaps.size, total
    clock[0] = now
    for q in range(n):
        if jobs[q, END] <= until:
            waits[q] = advance(heaps[q], waits[q], jobs[q], until, count, done)
    return 0
