"""The heap of waiting jobs as whole rows: lowest rank first, ties in order of arrival (or the newest first).

A row is RANK, ARRIVAL, SIZE, PREDICTED, AGE. Whole rows move: five numbers cost less than the indirection
through slots and a list of free ones. Indices are unsigned, which spares numba the code for negative ones.
`compiled.py` writes this text into every kernel of falling ranks, so that the compiler inlines it.
"""

import numpy as np
from numba import njit

RANK, ARRIVAL, SIZE, PREDICTED, AGE = 0, 1, 2, 3, 4
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
    heap[to, RANK] = heap[source, RANK]
    heap[to, ARRIVAL] = heap[source, ARRIVAL]
    heap[to, SIZE] = heap[source, SIZE]
    heap[to, PREDICTED] = heap[source, PREDICTED]
    heap[to, AGE] = heap[source, AGE]


@njit(cache=True, nogil=True)
def put(heap, to, rank, arrival, size, predicted, age):
    heap[to, RANK] = rank
    heap[to, ARRIVAL] = arrival
    heap[to, SIZE] = size
    heap[to, PREDICTED] = predicted
    heap[to, AGE] = age


@njit(cache=True, nogil=True)
def push(heap, waiting, rank, arrival, size, predicted, age):
    """Add a job to the heap of `waiting` jobs."""
    i = np.uint64(waiting)
    while i > np.uint64(0):
        parent = (i - _ONE) >> _ONE
        if not goes_before(rank, arrival, heap[parent, RANK], heap[parent, ARRIVAL]):
            break
        move(heap, i, parent)
        i = parent
    put(heap, i, rank, arrival, size, predicted, age)


@njit(cache=True, nogil=True)
def pop(heap, waiting):
    """Take the first of `waiting` jobs, heap[0], off the heap (it was read before)."""
    last = np.uint64(waiting) - _ONE
    rank, arrival = heap[last, RANK], heap[last, ARRIVAL]
    size, predicted, age = heap[last, SIZE], heap[last, PREDICTED], heap[last, AGE]
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
    put(heap, i, rank, arrival, size, predicted, age)
