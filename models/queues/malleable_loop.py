# ruff: noqa: F821
"""Template of the kernel of jobs that run on several servers at once; `allocate` comes from a template before it.

Jobs stand in rows, a new one last; `allocate` may put them in another order. At every arrival and completion it
says how many servers each job has and how fast it is served; until the next one nothing changes.
"""

import math

from numba import njit

FULL = 1  # count[1] when no row is left for an arrival


@njit(cache=True, nogil=True)
def soonest(jobs, present):
    """The job that is done first, and how long that takes: infinity when none is served."""
    first, step = 0, math.inf
    for j in range(present):
        if jobs[j, SPEED] > 0.0:
            left = max(jobs[j, SIZE] - jobs[j, AGE], 0.0) / jobs[j, SPEED]
            if left < step:
                first, step = j, left
    return first, step


@njit(cache=True, nogil=True)
def advance(jobs, present, step, clock):
    """Serve all jobs for a time; clock[1] and clock[2] add up the work done and the servers' time taken."""
    for j in range(present):
        work = jobs[j, SPEED] * step
        jobs[j, AGE] += work
        clock[1] += work
        clock[2] += jobs[j, GIVEN] * step


@njit(cache=True, nogil=True)
def remove(jobs, present, row):
    """Take a row out, the rows after it moving up; returns how many are left."""
    for j in range(row, present - 1):
        for column in range(jobs.shape[1]):
            jobs[j, column] = jobs[j + 1, column]
    return present - 1


@njit(cache=True, nogil=True)
def serve(theta, option, k, gaps, sizes, predictions, traits, guesses, jobs, scratch, clock, count, drain, done):
    """Serve the arrivals of one chunk; with `drain`, serve on until the system is empty.

    option, k: what allocate takes. gaps, sizes, predictions, traits, guesses: (n,) time to the arrival from the
    one before, work, predicted work, power or need, predicted power.
    jobs (m, 8): the rows. scratch (m, 3): for allocate. clock: [now, work done, servers' time taken].
    count: [jobs present, FULL when the rows did not suffice]. done (m + n, 3): rows (response time, size, arrival).
    Returns the number of completions, -1 when a policy's answer was not a number, and -2 when jobs are left
    and no server works for them.
    """
    now, present = clock[0], count[0]
    rows = 0
    n = gaps.size
    first, step = soonest(jobs, present)
    for i in range(n + 1 if drain else n):
        arrival = now + gaps[i] if i < n else math.inf
        last = now
        while present > 0 and last + step <= arrival and step < math.inf:
            advance(jobs, present, step, clock)
            last += step
            done[rows, 0] = last - jobs[first, ARRIVAL]
            done[rows, 1] = jobs[first, SIZE]
            done[rows, 2] = jobs[first, ARRIVAL]
            rows += 1
            present = remove(jobs, present, first)
            if not allocate(theta, option, k, jobs, present, scratch):
                return -1
            first, step = soonest(jobs, present)
        if i == n:
            break
        advance(jobs, present, arrival - last, clock)
        now = arrival
        if present == jobs.shape[0]:
            count[1] = FULL
            break
        jobs[present, ARRIVAL] = now
        jobs[present, SIZE] = sizes[i]
        jobs[present, PREDICTED] = predictions[i]
        jobs[present, TRAIT] = traits[i]
        jobs[present, GUESS] = guesses[i]
        jobs[present, AGE] = 0.0
        present += 1
        if not allocate(theta, option, k, jobs, present, scratch):
            return -1
        first, step = soonest(jobs, present)
    clock[0], count[0] = now, present
    return -2 if drain and present > 0 else rows
