# ruff: noqa: F821
"""Template of `allocate` for policies of falling rank: all servers work for the job of lowest rank."""

import math

from numba import njit


@njit(cache=True, nogil=True)
def allocate(theta, option, k, jobs, present, scratch):
    first, lowest = 0, math.inf
    for j in range(present):
        jobs[j, GIVEN] = jobs[j, SPEED] = 0.0
        rank = rank_of(jobs[j, SIZE], jobs[j, PREDICTED], jobs[j, ARRIVAL], jobs[j, AGE], theta)
        if math.isnan(rank):
            return False
        if rank < lowest:
            first, lowest = j, rank
    if present > 0:
        jobs[first, GIVEN] = k
        jobs[first, SPEED] = speed(k, jobs[first, TRAIT]) / k
    return True
