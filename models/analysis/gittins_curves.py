"""Compiled parts of gittins.py: the least quotient over all later ages, and curves with few straight pieces."""

import numpy as np
from openqueues.models.keeping import njit

_APART = 1e-7
"""Two tails nearer than this, relatively, are not divided by: their difference has too few digits."""


@njit(cache=True, nogil=True)
def least_quotient(tail, before, work, alike):
    """For each k the least (work[b] - work[k]) / (before[k] - tail[b]) over b > k, or b >= k with `alike`."""
    n = len(tail)
    answer = np.empty(n)
    for k in range(n):
        least = np.inf
        for b in range(k if alike else k + 1, n):
            done = before[k] - tail[b]
            if done > _APART * before[k]:
                least = min(least, (work[b] - work[k]) / done)
        answer[k] = least
    return answer


@njit(cache=True, nogil=True)
def needed(ages, ranks, allowed, kept):
    """Mark in `kept` the knots without which a straight piece would miss one by more than is allowed.

    Douglas and Peucker, between the knots that are marked already.
    """
    n = len(ages)
    stack = np.empty((n + 2, 2), np.int64)
    last = 0
    for end in range(1, n):
        if not kept[end]:
            continue
        stack[0, 0], stack[0, 1] = last, end
        depth = 1
        while depth > 0:
            depth -= 1
            low, high = stack[depth, 0], stack[depth, 1]
            width = ages[high] - ages[low]
            worst, place = 1.0, -1
            for k in range(low + 1, high):
                share = (ages[k] - ages[low]) / width if width > 0.0 else 0.0
                excess = abs(ranks[k] - ranks[low] - share * (ranks[high] - ranks[low])) / allowed[k]
                if excess > worst:
                    worst, place = excess, k
            if place > 0 and width > 0.0:
                kept[place] = True
                stack[depth, 0], stack[depth, 1] = low, place
                stack[depth + 1, 0], stack[depth + 1, 1] = place, high
                depth += 2
        last = end
