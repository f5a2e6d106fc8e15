# ruff: noqa: F821
"""Template of the single-server kernel for policies that look at the whole state.

`decide_of` comes from the policy. At every event it is asked for a value of each job present, and the job
with the lowest value, the first to arrive among equals, is served until the next event: an arrival, the end
of the job, the moment it has been served for as long as was predicted, or the end of the quantum; where the
policy looks at what is expected, also the moment at which the job's age enters another bin.
"""

import math

from numba import njit

ARRIVAL, SIZE, PREDICTED, AGE, RANDOM = 0, 1, 2, 3, 4  # of a job
OCTAVE, LOWEST, BINS = 3, 18, 54  # bins of sizes and predictions: 3 an octave, from 2**-6 to 2**12
ENOUGH = 5.0  # completed jobs that are an experience


@njit(cache=True, nogil=True)
def bin_of(number):
    if number <= 0.015625:
        return 0
    return min(int(math.floor(OCTAVE * math.log2(number))) + LOWEST, BINS - 1)


@njit(cache=True, nogil=True)
def next_bin(age):
    """An age just inside the bin after that of `age`."""
    return 2.0 ** ((bin_of(age) + 1 - LOWEST) / OCTAVE) * (1.0 + 1e-9)


@njit(cache=True, nogil=True)
def remember(memory, size, predicted):
    """Add a completed job to the tables by prediction and age: jobs that got so old, sum of size / prediction."""
    row = bin_of(predicted)
    for column in range(bin_of(size) + 1):
        memory[0, row, column] += 1.0
        memory[1, row, column] += size / predicted


@njit(cache=True, nogil=True)
def expect(memory, predicted, age):
    """The size to expect of a job, from the completed ones of about this prediction that got about this old."""
    row, column = bin_of(predicted), bin_of(age)
    if memory[0, row, column] < ENOUGH:
        return predicted if age < predicted else 2.0 * age
    return max(predicted * memory[1, row, column] / memory[0, row, column], age)


@njit(cache=True, nogil=True)
def choose(jobs, present, running, now, load, memory, theta):
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
            expect(memory, jobs[j, PREDICTED], jobs[j, AGE]) if memory.size > 0 else 0.0,
            theta,
        )
        if value != value:
            return -1 - j
        if j == 0 or value < lowest or (value == lowest and jobs[j, ARRIVAL] < jobs[best, ARRIVAL]):
            best, lowest = j, value
    return best


@njit(cache=True, nogil=True)
def serve(theta, load, quantum, gaps, sizes, predictions, randoms, jobs, memory, clock, count, drain, done):
    """Serve the arrivals of one chunk; with `drain`, serve on until the system is empty.

    gaps, sizes, predictions, randoms: (n,) time to the arrival from the one before, service time, prediction,
    uniform number. jobs (m, 5): room for n more jobs than are in the system; those present come first.
    memory (2, BINS, BINS): of completed jobs; (0, 0, 0) for a policy that does not look at it.
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
            job = choose(jobs, present, running, now, load, memory, theta)
            if job < 0:
                return job
            running = job
            left = jobs[job, SIZE] - jobs[job, AGE]
            overrun = jobs[job, PREDICTED] - jobs[job, AGE]
            step = min(left, quantum)
            if 0.0 < overrun < step:
                step = overrun
            if memory.size > 0:
                step = min(step, next_bin(jobs[job, AGE]) - jobs[job, AGE])
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
            if memory.size > 0:
                remember(memory, jobs[job, SIZE], jobs[job, PREDICTED])
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
