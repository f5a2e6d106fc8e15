# ruff: noqa: F821
"""Template of `allocate` for policies that share: every job has the same part of the servers (EQUI)."""

from numba import njit


@njit(cache=True, nogil=True)
def allocate(theta, option, k, jobs, present, scratch):
    for j in range(present):
        jobs[j, GIVEN] = k / present
        jobs[j, SPEED] = speed(jobs[j, GIVEN], jobs[j, TRAIT]) / k
    return True
