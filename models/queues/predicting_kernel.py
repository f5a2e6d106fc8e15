# ruff: noqa: F821
"""Template of the kernel of one server where predictions cost: the policy decides, job by job, what to learn.

`decide_of` is asked when a job arrives (step 0), after its cheap prediction (step 1) and when it has had `limit`
of service (step 2). It answers

    r >= 0   serve the job without further prediction at rank r, first come first served among equal ranks; a
             predicted job's rank is its prediction less its age. 0 is before everything, predictions included
    -1       make the cheap prediction: one bit
    -2       make the full prediction by the server, after all cheap ones
    -3       serve it before everything up to `limit`, then ask again
    -4       make the full prediction at the prediction station, first come first served, beside the server

What a prediction by the server costs is `model`: 0 a price, 1 the server's time, 2 a slower service.
A job's life is a sequence of pieces; within one its rank is constant, or falls as it is served. So nothing but
the end of a piece, an arrival and a prediction from the station can change who is served.
"""

import math

from numba import njit

SLOT = 2  # of a row of the heaps
SIZE, PREDICTED, LONG, DRAW, AGE, STAGE, LEFT, SPEED, GOAL, PRICE, FULL = 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
# of a job, after RANK and ARRIVAL. LEFT: time to the end of the piece, if not interrupted; SPEED: service per
# time in it; GOAL: the age at its end; PRICE: paid so far; FULL: whether a full prediction was made.
SERVED, CHEAPLY, FULLY, LATER, KNOWN = 0.0, 1.0, 2.0, 3.0, 4.0  # stages
FIRST, CHEAP_RANK, FULL_RANK = -3e300, -2e300, -1e300
MODEL, CHEAP_COST, FULL_COST, WINDOW, LIMIT, RATE, STATION_TIME = 0, 1, 2, 3, 4, 5, 6  # of costs


@njit(cache=True, nogil=True)
def serve_upto(job, stage, rank, goal, rate):
    """Begin a piece of plain service up to the age `goal`."""
    job[STAGE] = stage
    job[RANK] = rank
    job[GOAL] = goal
    job[LEFT] = (goal - job[AGE]) / rate
    job[SPEED] = rate


@njit(cache=True, nogil=True)
def predict(job, stage, rank, cost, costs):
    """Begin a prediction; returns whether it takes time."""
    if costs[MODEL] == 0.0:
        job[PRICE] += cost
        return False
    if costs[MODEL] == 1.0:
        job[STAGE], job[RANK], job[GOAL] = stage, rank, job[AGE]
        job[LEFT] = cost / costs[RATE]
        job[SPEED] = 0.0
        return cost > 0.0
    work = min(costs[WINDOW], job[SIZE] - job[AGE])
    job[STAGE], job[RANK], job[GOAL] = stage, rank, job[AGE] + work
    if work == job[SIZE] - job[AGE]:
        job[GOAL] = job[SIZE]
    job[SPEED] = costs[RATE] / (1.0 + cost / costs[WINDOW])
    job[LEFT] = work / job[SPEED]
    return True


@njit(cache=True, nogil=True)
def known(job, rate):
    """The full prediction is there."""
    job[FULL] = 1.0
    serve_upto(job, KNOWN, job[PREDICTED] - job[AGE], job[SIZE], rate)


@njit(cache=True, nogil=True)
def ask(job, step, queue, predicting, load, costs, theta):
    """Ask what comes next for the job. Returns 1: a piece of service, 2: the station, -1: no valid answer."""
    while True:
        long = job[LONG] if step > 0 else 0.0
        answer = decide_of(queue, predicting, load, costs[FULL_COST], step, long, job[AGE], job[DRAW], theta)
        if answer >= 0.0:
            serve_upto(job, SERVED, FIRST if answer == 0.0 else answer, job[SIZE], costs[RATE])
            return 1
        if answer == -1.0 and step == 0:
            if predict(job, CHEAPLY, CHEAP_RANK, costs[CHEAP_COST], costs):
                return 1
            step = 1
        elif answer == -2.0:
            if not predict(job, FULLY, FULL_RANK, costs[FULL_COST], costs):
                known(job, costs[RATE])
            return 1
        elif answer == -3.0 and step < 2:
            if costs[LIMIT] > job[AGE]:
                serve_upto(job, LATER, FIRST, min(costs[LIMIT], job[SIZE]), costs[RATE])
                return 1
            step = 2
        elif answer == -4.0:
            return 2
        else:
            return -1


@njit(cache=True, nogil=True)
def enqueue(jobs, heap, waiting, slot):
    heap[push(heap, waiting, jobs[slot, RANK], jobs[slot, ARRIVAL]), SLOT] = slot


@njit(cache=True, nogil=True)
def serve(
    theta, costs, gaps, sizes, predictions, longs, draws, loads,
    heap, jobs, free, sent, stations, clock, count, drain, done,
):  # fmt: skip
    """Serve the arrivals of one chunk; with `drain`, serve on until the system is empty.

    gaps, sizes, predictions, longs (the cheap bit), draws (a uniform number), loads (what the policy sees): (n,).
    heap, sent (m, 3), jobs (m, 13), free (m,): room for n more jobs than are in the system.
    stations (k,): when each prediction server is free.
    clock: [now, end of the piece in service or inf, its start, work, area of number, area of work].
    count: [waiting, slot in service or -1, slots ever used, free ones among these, jobs at the station].
    done (m, 5): response time and price, size, arrival, price, whether predicted in full.
    Returns the number of completions, or -1 when the policy gave no valid answer.
    """
    now, end, since, work = clock[0], clock[1], clock[2], clock[3]
    area_number, area_work = clock[4], clock[5]
    waiting, running, used, spare, away = count[0], count[1], count[2], count[3], count[4]
    rate = costs[RATE]
    completed = 0
    n = gaps.size
    for i in range(n + 1 if drain else n):
        arrival = now + gaps[i] if i < n else math.inf
        while True:
            back = sent[0, RANK] if away > 0 else math.inf
            event = min(end, back, arrival)
            if event == math.inf:
                break
            step = event - now
            speed = jobs[running, SPEED] if running >= 0 else 0.0
            area_number += (used - spare) * step
            area_work += step * (work - 0.5 * speed * step)
            work -= speed * step
            now = event
            entering = -1
            if end <= back and end <= arrival:
                job = jobs[running]
                job[AGE] = job[GOAL]
                state = 1
                if job[AGE] >= job[SIZE]:
                    done[completed, 0] = now - job[ARRIVAL] + job[PRICE]
                    done[completed, 1] = job[SIZE]
                    done[completed, 2] = job[ARRIVAL]
                    done[completed, 3] = job[PRICE]
                    done[completed, 4] = job[FULL]
                    completed += 1
                    free[spare] = running
                    spare += 1
                    running = -1
                elif job[STAGE] == FULLY:
                    known(job, rate)
                else:
                    state = ask(
                        job, 1 if job[STAGE] == CHEAPLY else 2, used - spare - 1, away, loads[min(i, n - 1)],
                        costs, theta,
                    )  # fmt: skip
                if state < 0:
                    return -1
                if state == 2:
                    away = leave_for_station(jobs, running, sent, away, stations, now, costs)
                    running = -1
                if waiting > 0 and (
                    running < 0 or not goes_before(job[RANK], job[ARRIVAL], heap[0, RANK], heap[0, ARRIVAL])
                ):
                    slot = int(heap[0, SLOT])
                    pop(heap, waiting)
                    waiting -= 1
                    if running >= 0:
                        enqueue(jobs, heap, waiting, running)
                        waiting += 1
                    running = slot
                since = now
                end = now + jobs[running, LEFT] if running >= 0 else math.inf
                if running < 0 and used == spare:
                    work = 0.0
                continue
            if back <= arrival:
                entering = int(sent[0, SLOT])
                pop(sent, away)
                away -= 1
                known(jobs[entering], rate)
            else:
                if i == n:
                    break
                if spare > 0:
                    spare -= 1
                    entering = free[spare]
                else:
                    entering = used
                    used += 1
                job = jobs[entering]
                job[ARRIVAL], job[SIZE], job[PREDICTED] = now, sizes[i], predictions[i]
                job[LONG], job[DRAW], job[AGE], job[PRICE], job[FULL] = longs[i], draws[i], 0.0, 0.0, 0.0
                work += sizes[i]
                state = ask(job, 0, used - spare - 1, away, loads[i], costs, theta)
                if state < 0:
                    return -1
                if state == 2:
                    away = leave_for_station(jobs, entering, sent, away, stations, now, costs)
                    entering = -1
            if entering >= 0:
                if running >= 0:
                    job = jobs[running]
                    elapsed = now - since
                    job[AGE] += elapsed * job[SPEED]
                    job[LEFT] = end - now
                    since = now
                    if job[STAGE] == KNOWN:
                        job[RANK] = job[PREDICTED] - job[AGE]
                    if jobs[entering, RANK] < job[RANK]:
                        enqueue(jobs, heap, waiting, running)
                        running = -1
                    else:
                        enqueue(jobs, heap, waiting, entering)
                    waiting += 1
                if running < 0:
                    running = entering
                    since = now
                    end = now + jobs[running, LEFT]
            if back > arrival:
                break
    clock[0], clock[1], clock[2], clock[3] = now, end, since, work
    clock[4], clock[5] = area_number, area_work
    count[0], count[1], count[2], count[3], count[4] = waiting, running, used, spare, away
    return completed


@njit(cache=True, nogil=True)
def leave_for_station(jobs, slot, sent, away, stations, now, costs):
    """Send a job to the prediction server that is free first; returns the number of jobs there."""
    first = 0
    for k in range(1, stations.size):
        if stations[k] < stations[first]:
            first = k
    stations[first] = max(stations[first], now) + costs[STATION_TIME]
    sent[push(sent, away, stations[first], jobs[slot, ARRIVAL]), SLOT] = slot
    return away + 1
