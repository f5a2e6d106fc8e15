# ruff: noqa: F821
"""Template of the single-server kernel that stops using predictions while a monitor says that they are wrong.

`decide_of` comes from the monitor's file: it looks at every completed job that had a prediction and says
whether predictions are to be trusted from now on, for all jobs, those in the system too. An oracle is asked
about each job that arrives instead, and answers for that job.

A job whose prediction is used has the rank predicted - age, which falls while it is served. Any other job has
the rank scale * age**power, the inverse hazard rate of the sizes: with power 0 these are served in the order
of arrival, with a power above 0 those of least age share the server until they are as old as the next, or
until their rank meets that of a job with a prediction. A change of trust moves every rank at once, so no heap
is kept: each event looks at every job.
"""

import math

from numba import njit

ARRIVAL, SIZE, PREDICTED, AGE = 0, 1, 2, 3
NOW, TRUST, WRONG, MISJUDGED = 0, 1, 2, 3


@njit(cache=True, nogil=True)
def first_of(jobs, present, trusted, power):
    """(used, blind): the first job by prediction and the first one without, -1 where there is none."""
    used, blind = -1, -1
    lowest, youngest = math.inf, math.inf
    used_arrival, blind_arrival = math.inf, math.inf
    for j in range(present):
        arrival = jobs[j, ARRIVAL]
        if trusted and jobs[j, PREDICTED] == jobs[j, PREDICTED]:
            rank = jobs[j, PREDICTED] - jobs[j, AGE]
            if rank < lowest or (rank == lowest and arrival < used_arrival):
                used, lowest, used_arrival = j, rank, arrival
        else:
            age = jobs[j, AGE] if power > 0.0 else 0.0
            if age < youngest or (age == youngest and arrival < blind_arrival):
                blind, youngest, blind_arrival = j, age, arrival
    return used, blind


@njit(cache=True, nogil=True)
def outlook(jobs, present, trusted, age, meeting):
    """(members, age at which their group changes, member that ends there or -1) of the blind jobs of this age.

    Ages are compared for equality: members are always brought to the same number.
    """
    members, target, ending = 0, meeting, -1
    for j in range(present):
        if not (trusted and jobs[j, PREDICTED] == jobs[j, PREDICTED]):
            if jobs[j, AGE] == age:
                members += 1
                if jobs[j, SIZE] <= target:
                    target, ending = jobs[j, SIZE], j
            elif jobs[j, AGE] < target:
                target, ending = jobs[j, AGE], -1
    return members, target, ending


@njit(cache=True, nogil=True)
def bring(jobs, present, trusted, age, to):
    """Bring the blind jobs of this age to another one."""
    for j in range(present):
        if jobs[j, AGE] == age and not (trusted and jobs[j, PREDICTED] == jobs[j, PREDICTED]):
            jobs[j, AGE] = to


@njit(cache=True, nogil=True)
def serve(theta, gaps, sizes, predictions, wrong, scale, power, jobs, clock, memory, present, told, drain, done):
    """Serve the arrivals of one chunk; with `drain`, serve on until the system is empty.

    gaps, sizes, predictions, wrong: (n,) time since the arrival before, service time, prediction (NaN: none),
    and the probability that a prediction made now is wrong. jobs (m, 4): room for n more jobs than the
    `present` ones. clock: [now, trust, wrong at the last arrival, arrivals at which trust was misplaced].
    memory: the monitor's own numbers. told: whether decide_of is an oracle.
    done (m, 3): rows (response time, size, arrival).
    Returns (completions, jobs present); completions is -1 when the monitor did not return a number.
    """
    now = clock[NOW]
    completed = 0
    n = gaps.size
    for i in range(n + 1 if drain else n):
        arrival = now + gaps[i] if i < n else math.inf
        while present > 0 and now < arrival:
            trusted = told or clock[TRUST] > 0.5
            used, blind = first_of(jobs, present, trusted, power)
            shared = False
            ending = used
            if blind >= 0:
                rank = jobs[used, PREDICTED] - jobs[used, AGE] if used >= 0 else math.inf
                if power > 0.0:
                    # Ages and not ranks are compared, so that rounding cannot stop a group just short of a meeting.
                    meeting = math.inf if rank == math.inf else (max(rank, 0.0) / scale) ** (1.0 / power)
                    shared = jobs[blind, AGE] < meeting
                elif scale < rank or (scale == rank and jobs[blind, ARRIVAL] < jobs[used, ARRIVAL]):
                    ending = blind
            if shared:
                age = jobs[blind, AGE]
                members, target, ending = outlook(jobs, present, trusted, age, meeting)
                needed = members * (target - age)
                if now + needed > arrival:
                    bring(jobs, present, trusted, age, age + (arrival - now) / members)
                    now = arrival
                    break
                bring(jobs, present, trusted, age, target)
                now += needed
                if ending < 0:
                    continue
            else:
                left = jobs[ending, SIZE] - jobs[ending, AGE]
                if now + left > arrival:
                    jobs[ending, AGE] += arrival - now
                    now = arrival
                    break
                now += left
            predicted, size = jobs[ending, PREDICTED], jobs[ending, SIZE]
            done[completed, 0] = now - jobs[ending, ARRIVAL]
            done[completed, 1] = size
            done[completed, 2] = jobs[ending, ARRIVAL]
            completed += 1
            present -= 1
            for column in range(4):
                jobs[ending, column] = jobs[present, column]
            if predicted == predicted and not told:
                clock[TRUST] = decide_of(predicted, size, clock[TRUST], memory, clock[WRONG], theta)
                if clock[TRUST] != clock[TRUST]:
                    return -1, present
        if i == n:
            break
        now = arrival
        jobs[present, ARRIVAL] = arrival
        jobs[present, SIZE] = sizes[i]
        jobs[present, PREDICTED] = predictions[i]
        jobs[present, AGE] = 0.0
        present += 1
        clock[WRONG] = wrong[i]
        if told:
            clock[TRUST] = decide_of(predictions[i], math.nan, 1.0, memory, wrong[i], theta)
            if clock[TRUST] != clock[TRUST]:
                return -1, present
            if clock[TRUST] <= 0.5:
                jobs[present - 1, PREDICTED] = math.nan
        if (clock[TRUST] > 0.5) != (wrong[i] < 0.5):
            clock[MISJUDGED] += 1.0
    clock[NOW] = now
    return completed, present
