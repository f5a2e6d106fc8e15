# ruff: noqa: F821
"""The single-server kernel of processor sharing, which needs no rank; a template as the others, for its heap."""

import math

from numba import njit

SIZE = 2


@njit(cache=True, nogil=True)
def serve(theta, gaps, sizes, predictions, heap, clock, count, drain, done):
    """Serve the arrivals of one chunk; with `drain`, serve on until the system is empty.

    A job of size s that arrives when each job present has been given v of service since time 0 leaves when
    that virtual time reaches v + s: a heap (m, 3) of those. clock: [now, virtual time, unused, work in the
    system, area of number, area of work]; count: [jobs in the system]. Otherwise as in the falling kernel.
    """
    now, virtual, work = clock[0], clock[1], clock[3]
    area_number, area_work = clock[4], clock[5]
    present = count[0]
    completed = 0
    n = gaps.size
    for i in range(n + 1 if drain else n):
        arrival = now + gaps[i] if i < n else math.inf
        if i < n:
            gap = gaps[i]
            area_work += gap * (work - 0.5 * gap) if gap < work else 0.5 * work * work
            work = max(work - gap, 0.0)
        while present > 0:
            end = now + (heap[0, RANK] - virtual) * present
            if end > arrival:
                virtual += (arrival - now) / present
                break
            area_number += present * (end - now) if i < n else 0.0
            now = end
            virtual = heap[0, RANK]
            done[completed, 0] = now - heap[0, ARRIVAL]
            done[completed, 1] = heap[0, SIZE]
            done[completed, 2] = heap[0, ARRIVAL]
            completed += 1
            pop(heap, present)
            present -= 1
        if i == n:
            break
        area_number += present * (arrival - now)
        now = arrival
        if present == 0:
            virtual = 0.0
            work = 0.0
        heap[push(heap, present, virtual + sizes[i], now), SIZE] = sizes[i]
        present += 1
        work += sizes[i]
    clock[0], clock[1], clock[3], clock[4], clock[5] = now, virtual, work, area_number, area_work
    count[0] = present
    return completed
