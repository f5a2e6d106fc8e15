# ruff: noqa: F821
"""Template of `allocate` for multiserver jobs, each of which needs so many servers and no other number.

Jobs are put in the order of their ranks, the oldest first among equals. Option 0, in order: the front jobs are
served, up to the first that does not fit. Option 1, first fit: every job that fits, from the front. Option 2,
server filling (Grosof, Harchol-Balter, Scheller-Wolf): of the shortest front part that needs k servers or more,
those of the largest need; with needs and k powers of two all servers are then busy.
"""

import math

from numba import njit

RANK = 0


@njit(cache=True, nogil=True)
def allocate(theta, option, k, jobs, present, scratch):
    for j in range(present):
        jobs[j, GIVEN] = jobs[j, SPEED] = 0.0
        rank = rank_of(jobs[j, SIZE], jobs[j, PREDICTED], jobs[j, ARRIVAL], jobs[j, AGE], theta)
        if math.isnan(rank):
            return False
        scratch[j, RANK] = rank
        # The rows stay in the order of the last time, so that few have to move.
        i = j
        while i > 0 and (
            scratch[i, RANK] < scratch[i - 1, RANK]
            or (scratch[i, RANK] == scratch[i - 1, RANK] and jobs[i, ARRIVAL] < jobs[i - 1, ARRIVAL])
        ):
            scratch[i, RANK], scratch[i - 1, RANK] = scratch[i - 1, RANK], scratch[i, RANK]
            for column in range(jobs.shape[1]):
                jobs[i, column], jobs[i - 1, column] = jobs[i - 1, column], jobs[i, column]
            i -= 1
    free = float(k)
    if option == 2:
        front, wanted = 0, 0.0
        while front < present and wanted < k:
            wanted += jobs[front, TRAIT]
            front += 1
        need = float(k)
        while need >= 1.0 and free > 0.0:
            for row in range(front):
                if jobs[row, TRAIT] == need and need <= free:
                    free -= run(jobs, row, need, k)
            need /= 2.0
        return True
    for row in range(present):
        need = jobs[row, TRAIT]
        if need <= free:
            free -= run(jobs, row, need, k)
            if free == 0.0:
                break
        elif option == 0:
            break
    return True


@njit(cache=True, nogil=True)
def run(jobs, row, need, k):
    jobs[row, GIVEN], jobs[row, SPEED] = need, need / k
    return need
