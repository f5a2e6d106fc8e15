"""Template of the kernel of one server that serves requests in batches; see batch.py for the model."""

import numpy as np
from numba import njit

FIXED, PER_REQUEST, PER_TOKEN, PER_BOTH = 0, 1, 2, 3  # of a batch's time


@njit(cache=True, nogil=True)
def serve(arrival, tokens, members, ends, least, most, times, elastic, start, finish):
    """Serve all requests; fills start and finish and returns (batches, time busy).

    arrival, tokens: (n,) ascending times, and tokens of the answers. members: the requests of the first bin in the
    order of arrival, then those of the next; bin k ends before ends[k]. A bin is ready when `least` of its requests
    wait, or, once no request is to come, when any does.
    """
    n, bins = arrival.size, ends.size
    head = np.zeros(bins, np.int64)
    for k in range(1, bins):
        head[k] = ends[k - 1]
    size, below = np.empty(n), np.empty(n + 1)  # of a batch: its tokens ascending, and their sums
    free, busy, done, batches = 0.0, 0.0, 0, 0
    while done < n:
        first, ready = -1, np.inf
        for k in range(bins):
            if head[k] < ends[k]:
                last = head[k] + least - 1
                when = arrival[members[last]] if last < ends[k] else arrival[n - 1]
                if when < ready:
                    first, ready = k, when
        now = max(free, ready)
        begin, end = head[first], head[first]
        while end < ends[first] and end - begin < most and arrival[members[end]] <= now:
            end += 1
        b = end - begin
        longest, total = 0.0, 0.0
        for j in range(b):
            size[j] = tokens[members[begin + j]]
            longest = max(longest, size[j])
            total += size[j]
        base = times[FIXED] + times[PER_REQUEST] * b
        if elastic:
            free = now + base + times[PER_TOKEN] * longest + times[PER_BOTH] * total
            size[:b].sort()
            below[0] = 0.0
            for j in range(b):
                below[j + 1] = below[j] + size[j]
        else:
            free = now + base + (times[PER_TOKEN] + times[PER_BOTH] * b) * longest
        for j in range(begin, end):
            i = members[j]
            start[i] = now
            finish[i] = free
            if elastic:
                shorter = np.searchsorted(size[:b], tokens[i], "right")
                worked = below[shorter] + (b - shorter) * tokens[i]
                finish[i] = now + base + times[PER_TOKEN] * tokens[i] + times[PER_BOTH] * worked
        head[first] = end
        busy += free - now
        done += b
        batches += 1
    return batches, busy
