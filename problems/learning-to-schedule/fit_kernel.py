# ruff: noqa: F821
"""Template: the mean of a loss over a training set and its derivative by each score.

`decide_of` comes from the loss' file. Derivatives are central differences, so that a loss is one line and has no
gradient to get wrong; with the step below their error is far beneath the optimiser's tolerance.
"""

from numba import njit

STEP = 1e-5


@njit(cache=True, nogil=True)
def serve(theta, scores, sizes, mean, threshold, shifts, slope):
    """Mean loss; writes its derivative by each score into slope (n,).

    Without shifts the loss is of one job. With them job i is paired with job i + shift, once for every shift.
    With no sizes, writes what decide says itself into slope: it is then a predictor and not a loss.
    """
    n = scores.size
    if sizes.size == 0:
        for i in range(n):
            slope[i] = decide_of(0.0, 0.0, 0.0, 0.0, threshold, mean[i], theta)
        return 0.0
    total = 0.0
    slope[:] = 0.0
    for shift in shifts:
        for i in range(n):
            j = (i + shift) % n
            a, b, x, y = scores[i], scores[j], sizes[i], sizes[j]
            total += decide_of(a, x, b, y, threshold, mean[i], theta)
            slope[i] += decide_of(a + STEP, x, b, y, threshold, mean[i], theta)
            slope[i] -= decide_of(a - STEP, x, b, y, threshold, mean[i], theta)
            if shift > 0:
                slope[j] += decide_of(a, x, b + STEP, y, threshold, mean[i], theta)
                slope[j] -= decide_of(a, x, b - STEP, y, threshold, mean[i], theta)
    count = n * shifts.size
    for i in range(n):
        slope[i] /= 2.0 * STEP * count
    return total / count
