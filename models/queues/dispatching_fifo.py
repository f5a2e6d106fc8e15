# ruff: noqa: F821
"""Template of the dispatching kernel where every queue serves first come first served.

`decide_of` is the policy's score of a queue. A job's response time is known when it joins, so a queue is a ring
of jobs in order of completion, and nothing happens at a queue but when an arrival asks it: the jobs that have
left by then are dropped.
"""

import math

from numba import njit

END, ARRIVED, SIZE, PREDICTED = 0, 1, 2, 3


@njit(cache=True, nogil=True)
def look(ring, head, length, now, predicted):
    """(work, predicted work, jobs predicted the same, shorter, longer, predicted work ahead) of a queue."""
    mask = ring.shape[0] - 1
    work, foreseen, ahead = 0.0, 0.0, 0.0
    same, shorter, longer = 0.0, 0.0, 0.0
    for j in range(length):
        row = (head + j) & mask
        age = max(now - (ring[row, END] - ring[row, SIZE]), 0.0) if j == 0 else 0.0
        other = ring[row, PREDICTED]
        work += ring[row, SIZE] - age
        left = max(other - age, 0.0)
        foreseen += left
        if left <= predicted:
            ahead += left
        if other == predicted:
            same += 1.0
        elif other < predicted:
            shorter += 1.0
        else:
            longer += 1.0
    return work, foreseen, same, shorter, longer, ahead


@njit(cache=True, nogil=True)
def leave(ring, head, length, now):
    """Drop the jobs that have left by `now`; returns the new head and length."""
    mask = ring.shape[0] - 1
    while length > 0 and ring[head & mask, END] <= now:
        head += 1
        length -= 1
    return head, length


@njit(cache=True, nogil=True)
def serve(theta, needs, everyone, gaps, sizes, predictions, routing, rings, heads, lengths, clock, count,
          scores, chosen, done):  # fmt: skip
    """Send the arrivals from count[0] on to their queues.

    needs: 0 if the policy looks at no queue's state, 1 if only at its number of jobs, 2 if at its jobs.
    gaps, sizes, predictions (m,); routing (m, d + 1): uniforms for the d queues asked and for the tie.
    rings (n, a power of two, 4): rows (completion, arrival, size, prediction); heads, lengths (n,).
    clock: [time of the last arrival]. count: [arrivals of this chunk that are placed, rows of done that are
    filled, all arrivals]. done (m, 3): rows (response time, size, arrival).
    Returns 0, 1 when a ring must grow before arrival count[0] can be placed, -1 when a score is not a number.
    """
    n, mask = rings.shape[0], rings.shape[1] - 1
    d = routing.shape[1] - 1
    asked = n if everyone else d
    now = clock[0]
    total = count[2]
    for i in range(count[0], gaps.size):
        arrival = now + gaps[i]
        size, predicted = sizes[i], predictions[i]
        if not everyone:
            sample(routing[i], n, d, chosen)
        best, ties = math.inf, 0
        for k in range(asked):
            q = k if everyone else chosen[k]
            work, foreseen, same, shorter, longer, ahead = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            if needs > 0:
                head, length = leave(rings[q], heads[q], lengths[q], arrival)
                heads[q], lengths[q] = head, length
                if needs > 1:
                    work, foreseen, same, shorter, longer, ahead = look(rings[q], head, length, arrival, predicted)
            turn = (q - total) % n
            score = decide_of(
                size, predicted, arrival, 0.0, lengths[q], work, foreseen, same, shorter, longer, ahead, turn, theta
            )
            scores[k] = score
            if score < best:
                best, ties = score, 1
            elif score == best:
                ties += 1
            elif score != score:
                count[0], count[2] = i, total
                clock[0] = now
                return -1
        k = pick(scores, asked, best, ties, routing[i, d]) if ties > 1 else pick(scores, asked, best, 1, 0.0)
        q = k if everyone else chosen[k]
        ring = rings[q]
        head, length = leave(ring, heads[q], lengths[q], arrival)
        if length > mask:
            count[0], count[2] = i, total
            clock[0] = now
            return 1
        start = ring[(head + length - 1) & mask, END] if length > 0 else arrival
        row = (head + length) & mask
        ring[row, END] = start + size
        ring[row, ARRIVED] = arrival
        ring[row, SIZE] = size
        ring[row, PREDICTED] = predicted
        heads[q], lengths[q] = head, length + 1
        done[count[1], 0] = start + size - arrival
        done[count[1], 1] = size
        done[count[1], 2] = arrival
        count[1] += 1
        now = arrival
        total += 1
    count[0], count[2] = gaps.size, total
    clock[0] = now
    return 0
