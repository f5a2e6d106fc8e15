"""The heap of waiting jobs as whole rows: lowest rank first, ties in order of arrival (or the newest first).

A row begins with RANK and ARRIVAL; what follows, WIDTH columns in all, belongs to the kernel. Whole rows move:
a few numbers cost less than the indirection through slots. Indices are unsigned, which spares numba the code
for negative ones. `compiled.py` writes this text into every kernel, so that the compiler inlines it.
"""

import numpy as np
from numba import njit

RANK, ARRIVAL = 0, 1
WIDTH = 5
NEWEST_FIRST = False
_ONE = np.uint64(1)


@njit(cache=True, nogil=True)
def goes_before(rank, arrival, other_rank, other_arrival):
    """Whether a job is served before the other."""
    if rank == other_rank:
        return arrival > other_arrival if NEWEST_FIRST else arrival < other_arrival
    return rank < other_rank


@njit(cache=True, nogil=True)
def move(heap, to, source):
    for column in range(WIDTH):
        heap[to, column] = heap[source, column]


@njit(cache=True, nogil=True)
def push(heap, waiting, rank, arrival):
    """Add a job to the heap of `waiting` jobs; returns its row, of which the caller fills the other columns."""
    i = np.uint64(waiting)
    while i > np.uint64(0):
        parent = (i - _ONE) >> _ONE
        if not goes_before(rank, arrival, heap[parent, RANK], heap[parent, ARRIVAL]):
            break
        move(heap, i, parent)
        i = parent
    heap[i, RANK] = rank
    heap[i, ARRIVAL] = arrival
    return i


@njit(cache=True, nogil=True)
def pop(heap, waiting):
    """Take the first of `waiting` jobs, heap[0], off the heap (it was read before)."""
    last = np.uint64(waiting) - _ONE
    rank, arrival = heap[last, RANK], heap[last, ARRIVAL]
    i = np.uint64(0)
    child = _ONE
    while child < last:
        other = child + _ONE
        if other < last and goes_before(
            heap[other, RANK], heap[other, ARRIVAL], heap[child, RANK], heap[child, ARRIVAL]
        ):
            child = other
        if not goes_before(heap[child, RANK], heap[child, ARRIVAL], rank, arrival):
            break
        move(heap, i, child)
        i = child
        child = (i << _ONE) + _ONE
    move(heap, i, last)
