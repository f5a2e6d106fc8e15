# ruff: noqa: F821
"""Template of the single-server kernel for policies that look at the whole state.

`decide_of` comes from the policy. At every event it is asked for a value of each job present, and the job
with the lowest value, the first to arrive among equals, is served until the next event: an arrival, the end
of the job, the moment it has been served for as long as was predicted, or the end of the quantum.
"""

import math

from numba import njit

ARRIVAL, SIZE, PREDICTED, AGE, RANDOM = 0, 1, 2, 3, 4  # of a job


@njit(cache=True, nogil=True)
def choose(jobs, present, running, now, load, theta):
    """The place of the job with the lowest value, or -1 - place of one whose value is not a number."""
    left, overdue = 0.0, 0.0
    for j in range(present):
        if jobs[j, AGE] < jobs[j, PREDICTED]:
            left += jobs[j, PREDICTED] - jobs[j, AGE]
        else:
            overdue += 1.0
    best, lowest = 0, math.inf
    for j in range(present):
        value = decide_of(
            float(present),
            jobs[j, SIZE],
            jobs[j, PREDICTED],
            jobs[j, ARRIVAL],
            jobs[j, AGE],
            now,
            1.0 if j == running else 0.0,
            left,
            overdue,
            jobs[j, RANDOM],
            load,
            theta,
        )
        if value != value:
            return -1 - j
        if j == 0 or value < lowest or (value == lowest and jobs[j, ARRIVAL] < jobs[best, ARRIVAL]):
            best, lowest = j, value
    return best


@njit(cache=True, nogil=True)
def serve(theta, load, quantum, gaps, sizes, predictions, randoms, jobs, clock, count, drain, done):
    """Serve the arrivals of one chunk; with `drain`, serve on until the system is empty.

    gaps, sizes, predictions, randoms: (n,) time to the arrival from the one before, service time, prediction,
    uniform number. jobs (m, 5): room for n more jobs than are in the system; those present come first.
    clock: [now, work in the system, area of number, area of work]; count: [jobs present, place of the job in
    service or -1]. done (m, 3): rows (response time, size, arrival). Returns the number of completions, or
    -1 - place of the job whose value was not a number.
    """
    now, work, area_number, area_work = clock[0], clock[1], clock[2], clock[3]
    present, running = count[0], count[1]
    completed = 0
    n = gaps.size
    for i in range(n + 1 if drain else n):
        arrival = now + gaps[i] if i < n else math.inf
        if i < n:
            gap = gaps[i]
            area_work += gap * (work - 0.5 * gap) if gap < work else 0.5 * work * work
            work = max(work - gap, 0.0)
        while present > 0 and now < arrival:
            job = choose(jobs, present, running, now, load, theta)
            if job < 0:
                return job
            running = job
            left = jobs[job, SIZE] - jobs[job, AGE]
            overrun = jobs[job, PREDICTED] - jobs[job, AGE]
            step = min(left, quantum)
            if 0.0 < overrun < step:
                step = overrun
            budget = arrival - now
            if budget < step:
                area_number += present * budget
                jobs[job, AGE] += budget
                now = arrival
                break
            area_number += present * step if i < n else 0.0
            now += step
            if step < left:
                jobs[job, AGE] = jobs[job, PREDICTED] if step == overrun else jobs[job, AGE] + step
                continue
            done[completed, 0] = now - jobs[job, ARRIVAL]
            done[completed, 1] = jobs[job, SIZE]
            done[completed, 2] = jobs[job, ARRIVAL]
            completed += 1
            present -= 1
            for column in range(5):
                jobs[job, column] = jobs[present, column]
            running = -1
        if i == n:
            break
        now = arrival
        if present == 0:
            work = 0.0
        jobs[present, ARRIVAL] = arrival
        jobs[present, SIZE] = sizes[i]
        jobs[present, PREDICTED] = predictions[i]
        jobs[present, AGE] = 0.0
        jobs[present, RANDOM] = randoms[i]
        present += 1
        work += sizes[i]
    clock[0], clock[1], clock[2], clock[3] = now, work, area_number, area_work
    count[0], count[1] = present, running
    return completed
