"""The two passes of the SOAP formula over tables of jobs, compiled.

`relevant` finds, for every threshold r, the load and the squared intervals of ages at rank r or below.
`respond` runs through the ages of the jobs that wait and are served, with the worst rank that is still to
come at each age kept as a stack of falling and level pieces.
"""

import numpy as np
from openqueues.models.keeping import njit


@njit(cache=True, nogil=True)
def _cubic(t, width, y0, y1, s0, s1):
    """The cubic with values y0, y1 and slopes s0, s1 at the ends of a cell of this width, at share t of it."""
    u = 1.0 - t
    return u * u * (1.0 + 2.0 * t) * y0 + t * t * (1.0 + 2.0 * u) * y1 + width * t * u * (u * s0 - t * s1)


@njit(cache=True, nogil=True)
def relevant(levels, ages, tail, atom, work, square, first, last, strictly):
    """(A, C) at each level r: E[X_0; first interval] and the sum over intervals of E[X_i^2].

    An interval is a range of ages whose rank is at most r (`strictly`: below r); X_0 is the part of a job's
    service in the interval that begins at age 0, if one does. first, last (n, K-1): the rank at the beginning
    and end of each cell of ages, linear between.
    """
    count = levels.size
    load, squares = np.zeros(count), np.zeros(count)
    begun = np.empty((count, 3))
    side = "right" if strictly else "left"
    for i in range(ages.shape[0]):
        open_from = count
        for j in range(ages.shape[1]):
            end = j == ages.shape[1] - 1
            for step in range(2):
                if end and step == 1:
                    break
                if step == 0:
                    target = np.inf if end else first[i, j]
                    a0, a1, u = ages[i, j], ages[i, j], target
                else:
                    u, target = first[i, j], last[i, j]
                    a0, a1 = ages[i, j], ages[i, j + 1]
                if end:
                    to = count
                elif side == "right":
                    to = np.searchsorted(levels, target, side="right")
                else:
                    to = np.searchsorted(levels, target, side="left")
                if to == open_from:
                    continue
                falling = to < open_from
                k = open_from
                while k != to:
                    if falling:
                        k -= 1
                    age, h, q = a0, work[i, j], square[i, j]
                    if a1 > a0 and u != target:
                        t = min(max((u - levels[k]) / (u - target), 0.0), 1.0)
                        width = a1 - a0
                        s0, s1 = tail[i, j], tail[i, j + 1] + atom[i, j + 1]
                        age = a0 + t * width
                        h = _cubic(t, width, work[i, j], work[i, j + 1], s0, s1)
                        q = _cubic(t, width, square[i, j], square[i, j + 1], a0 * s0, a1 * s1)
                    elif a1 > a0:
                        age = a0
                    if falling:
                        begun[k, 0], begun[k, 1], begun[k, 2] = age, h, q
                    else:
                        if begun[k, 0] == 0.0:
                            load[k] += h
                        squares[k] += 2.0 * (q - begun[k, 2] - begun[k, 0] * (h - begun[k, 1]))
                        k += 1
                open_from = to
    return load, squares


@njit(cache=True, nogil=True)
def _place(levels, rank):
    """(k, share): rank is at level k if share is 0, else between k and k + 1; k = -1 below all."""
    k = np.searchsorted(levels, rank, side="right") - 1
    if k < 0:
        return -1, 0.5
    if levels[k] == rank or k == levels.size - 1:
        return k, 0.0 if levels[k] == rank else 0.5
    return k, (rank - levels[k]) / (levels[k + 1] - levels[k])


@njit(cache=True, nogil=True)
def _between(k, share, at, after):
    """A function that is `at[k]` just above level k and `after[k]` just below it, at a place between levels."""
    if k < 0:
        return after[0]
    if k == at.size - 1:
        return at[k]
    return (1.0 - share) * at[k] + share * after[k + 1]


@njit(cache=True, nogil=True)
def _wait(levels, tables, newest, rank):
    below, upto, squares_below, squares_upto = tables[0], tables[1], tables[2], tables[3]
    k, share = _place(levels, rank)
    if share == 0.0:
        squares = squares_below[k] if newest else squares_upto[k]
        return 0.5 * squares / ((1.0 - below[k]) * (1.0 - upto[k]))
    load = _between(k, share, upto, below)
    return 0.5 * _between(k, share, squares_upto, squares_below) / (1.0 - load) ** 2


@njit(cache=True, nogil=True)
def _slow(levels, tables, newest, rank):
    """Time per unit of service while a later job of lower rank goes before."""
    k, share = _place(levels, rank)
    if share == 0.0:
        return 1.0 / (1.0 - (tables[1, k] if newest else tables[0, k]))
    return 1.0 / (1.0 - _between(k, share, tables[1], tables[0]))


@njit(cache=True, nogil=True)
def _sum(levels, tables, rank):
    """The integral over ranks of `_slow`, from an arbitrary origin; tables[4] has it at the levels."""
    k, share = _place(levels, rank)
    if k < 0:
        return tables[4, 0] - (levels[0] - rank) / (1.0 - tables[0, 0])
    step = rank - levels[k]
    if k == levels.size - 1:
        return tables[4, k] + step / (1.0 - tables[1, k])
    here = 1.0 / (1.0 - tables[1, k])
    there = 1.0 / (1.0 - tables[0, k + 1])
    return tables[4, k] + step * (here + 0.5 * share * (there - here))


@njit(cache=True, nogil=True)
def _piece(levels, tables, newest, stack, top):
    length = stack[top, 1] - stack[top, 0]
    high, low = stack[top, 2], stack[top, 3]
    if high - low > 1e-9 * max(abs(high), abs(low)):
        return length / (high - low) * (_sum(levels, tables, high) - _sum(levels, tables, low))
    return length * _slow(levels, tables, newest, high)


@njit(cache=True, nogil=True)
def _lift(stack, top, rank, start):
    """Take away what lies below `rank`: (pieces left, age from which the worst rank is `rank`)."""
    while top > 0 and stack[top - 1, 3] < rank:
        if stack[top - 1, 2] <= rank:
            start = stack[top - 1, 0]
            top -= 1
        else:
            high, low = stack[top - 1, 2], stack[top - 1, 3]
            start = stack[top - 1, 0] + (high - rank) / (high - low) * (stack[top - 1, 1] - stack[top - 1, 0])
            stack[top - 1, 1], stack[top - 1, 3] = start, rank
            break
    return top, start


@njit(cache=True, nogil=True)
def respond(levels, tables, newest, ages, tail, atom, work, first, last, whole):
    """Sum over the rows of E[T; row]; with `whole`, each row's T of a job as large as its last age instead.

    tables (5, levels): load below, load up to, squares below, squares up to each level, all times the arrival
    rate, and the integral of 1/(1 - load).
    """
    rows, columns = ages.shape
    stack = np.empty((columns + 2, 5))  # pieces: from age, to age, rank there, rank here, residence before
    answer = np.zeros(rows)
    for i in range(rows):
        top, finish = 0, 0.0
        for j in range(columns - 1):
            a0, a1 = ages[i, j], ages[i, j + 1]
            if not a1 > a0:
                if not whole:
                    answer[i] += atom[i, j + 1] * finish
                continue
            u, v = first[i, j], last[i, j]
            top, start = _lift(stack, top, u, a0)
            base = stack[top - 1, 4] + _piece(levels, tables, newest, stack, top - 1) if top > 0 else 0.0
            begin = base + (a0 - start) * _slow(levels, tables, newest, u)
            wait0 = _wait(levels, tables, newest, stack[0, 2] if top > 0 else u)
            wait1 = wait0
            if v <= u:
                if a0 > start or v == u:
                    stack[top, 0], stack[top, 1] = start, a1 if v == u else a0
                    stack[top, 2], stack[top, 3], stack[top, 4] = u, u, base
                    top += 1
                if v < u:
                    stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3], stack[top, 4] = a0, a1, u, v, begin
                    top += 1
            else:
                top, start = _lift(stack, top, v, start)
                base = stack[top - 1, 4] + _piece(levels, tables, newest, stack, top - 1) if top > 0 else 0.0
                stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3], stack[top, 4] = start, a1, v, v, base
                top += 1
                wait1 = _wait(levels, tables, newest, stack[0, 2])
            close = stack[top - 1, 4] + _piece(levels, tables, newest, stack, top - 1)
            begin += wait0
            finish = close + wait1
            if whole:
                answer[i] = finish
                continue
            upto = tail[i, j + 1] + atom[i, j + 1]
            slope = (finish - begin) / (a1 - a0)
            answer[i] += begin * tail[i, j] - finish * upto + slope * (work[i, j + 1] - work[i, j])
            answer[i] += atom[i, j + 1] * finish
    return answer
