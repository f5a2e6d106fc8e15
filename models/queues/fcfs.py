# ruff: noqa: F821
"""First come first served with Poisson arrivals: Lindley's recursion, with nothing kept of a job.

`compiled.py` writes this text below those of `exponential.py` and `tally.py` into one module, so that the draws
of the gaps, the recursion and the tally become one loop.
"""

from numba import njit


@njit(cache=True, nogil=True)
def serve(words, scale, sizes, state, sums, histogram):
    """Serve jobs of `sizes` (n,) that arrive a gap of `scale` times a standard exponential number apart.

    words: the generator of the gaps (`exponential.words_of`). state: [time of the last arrival, work left just
    after it, area of number, area of work, sum of squared sizes]. sums, histogram: a Tally of response times.
    The area under the number in system is the sum of the response times, which is the same from one empty
    system to the next.
    """
    low, high, step_low, step_high = words
    now, work, area_number, area_work, square = state
    count, total, second, slowdown = sums
    for size in sizes:
        gap, high, low = draw(high, low, step_high, step_low)
        gap *= scale
        left = max(work - gap, 0.0)
        area_work += 0.5 * (work - left) * (work + left)
        now += gap
        work = left + size
        area_number += work
        square += size * size
        count += 1.0
        total += work
        second += work * work
        slowdown += work / size
        histogram[bin_of(work)] += 1
    words[0], words[1] = low, high
    state[0], state[1], state[2], state[3], state[4] = now, work, area_number, area_work, square
    sums[0], sums[1], sums[2], sums[3] = count, total, second, slowdown
