# ruff: noqa: F821
"""Template of `allocate` for decisions: one server after another goes to the job that bids the most for it.

A job's bid is decide(...), asked again when it has been given a server. Equal bids: the oldest job. A job that
bids minus infinity wants no more.
"""

import math

from numba import njit

BID, PLACE, FAST = 0, 1, 2


@njit(cache=True, nogil=True)
def bid(theta, k, jobs, present, scratch, j):
    given = jobs[j, GIVEN]
    now = scratch[j, FAST]
    scratch[j, FAST] = speed(given + 1.0, jobs[j, GUESS])
    return decide_of(
        jobs[j, SIZE],
        jobs[j, PREDICTED],
        jobs[j, ARRIVAL],
        jobs[j, AGE],
        jobs[j, TRAIT],
        jobs[j, GUESS],
        given,
        scratch[j, FAST] - now,
        scratch[j, PLACE],
        float(present),
        float(k),
        theta,
    )


@njit(cache=True, nogil=True)
def place(jobs, present, scratch):
    """How many jobs are shorter than each by their predicted remaining size; the oldest first among equals."""
    for j in range(present):
        scratch[j, PLACE] = 0.0
    for j in range(present):
        left = jobs[j, PREDICTED] - jobs[j, AGE]
        for i in range(j):
            if jobs[i, PREDICTED] - jobs[i, AGE] <= left:
                scratch[j, PLACE] += 1.0
            else:
                scratch[i, PLACE] += 1.0


@njit(cache=True, nogil=True)
def allocate(theta, option, k, jobs, present, scratch):
    """With option 1 the policy looks at the places, which cost the square of the number of jobs."""
    if option == 1:
        place(jobs, present, scratch)
    for j in range(present):
        jobs[j, GIVEN] = scratch[j, FAST] = 0.0
        scratch[j, BID] = bid(theta, k, jobs, present, scratch, j)
        if math.isnan(scratch[j, BID]):
            return False
    for _ in range(k):
        best, most = -1, -math.inf
        for j in range(present):
            if scratch[j, BID] > most:
                best, most = j, scratch[j, BID]
        if best < 0:
            break
        jobs[best, GIVEN] += 1.0
        scratch[best, BID] = bid(theta, k, jobs, present, scratch, best)
        if math.isnan(scratch[best, BID]):
            return False
    for j in range(present):
        jobs[j, SPEED] = speed(jobs[j, GIVEN], jobs[j, TRAIT]) / k
    return True
