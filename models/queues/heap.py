"""The heap of waiting jobs: lowest rank first, equal ranks in order of arrival (or the newest first).

`compiled.py` writes this text into every kernel module, so that the compiler inlines it.
"""

from numba import njit

ARRIVAL, SIZE, PREDICTED, AGE = 0, 1, 2, 3
NEWEST_FIRST = False


@njit(cache=True, nogil=True)
def wins_tie(arrival, other):
    """Whether, of two jobs of equal rank, the one that came at `arrival` is served before the `other`."""
    if NEWEST_FIRST:
        return arrival > other
    return arrival < other


@njit(cache=True, nogil=True)
def push(heap_rank, heap_slot, jobs, waiting, rank, slot):
    """Add a job to the heap of `waiting` jobs."""
    i = waiting
    while i > 0:
        parent = (i - 1) >> 1
        above = heap_rank[parent]
        if above < rank:
            break
        if above == rank and not wins_tie(jobs[slot, ARRIVAL], jobs[heap_slot[parent], ARRIVAL]):
            break
        heap_rank[i] = above
        heap_slot[i] = heap_slot[parent]
        i = parent
    heap_rank[i] = rank
    heap_slot[i] = slot


@njit(cache=True, nogil=True)
def pop(heap_rank, heap_slot, jobs, waiting):
    """Take the first of `waiting` jobs off the heap (its rank and slot were read before)."""
    last = waiting - 1
    rank = heap_rank[last]
    slot = heap_slot[last]
    i = 0
    child = 1
    while child < last:
        below = heap_rank[child]
        if child + 1 < last:
            other = heap_rank[child + 1]
            if other < below or (
                other == below
                and wins_tie(jobs[heap_slot[child + 1], ARRIVAL], jobs[heap_slot[child], ARRIVAL])
            ):
                child += 1
                below = other
        if rank < below:
            break
        if rank == below and not wins_tie(jobs[heap_slot[child], ARRIVAL], jobs[slot, ARRIVAL]):
            break
        heap_rank[i] = below
        heap_slot[i] = heap_slot[child]
        i = child
        child = 2 * i + 1
    heap_rank[i] = rank
    heap_slot[i] = slot
