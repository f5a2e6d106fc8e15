"""One pass over completed jobs: sums and a histogram whose bins are read off the bits of the numbers."""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

FRACTION_BITS = 8  # 256 bins an octave: a bin is at most 0.4% wide, and quantiles are interpolated within it
_SHIFT = 52 - FRACTION_BITS
_LOWEST = (1023 - 40) << FRACTION_BITS  # 2**-40
_BINS = 100 << FRACTION_BITS  # up to 2**60


@intrinsic
def _bits(typingctx, number):
    """The 64 bits of a float, as an integer."""

    def codegen(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), codegen


@njit(nogil=True)
def bin_of(number):
    """The bin of the histogram that a positive number falls into."""
    return np.uint64(min(max((_bits(number) >> _SHIFT) - _LOWEST, 0), _BINS - 1))


@njit(cache=True, nogil=True)
def _add(done, since, sums, histogram):
    count, total, square, slowdown = sums
    for i in range(len(done)):
        if done[i, 2] > since:
            response = done[i, 0]
            count += 1.0
            total += response
            square += response * response
            slowdown += response / done[i, 1]
            histogram[bin_of(response)] += 1
    sums[0], sums[1], sums[2], sums[3] = count, total, square, slowdown


class Tally:
    """Moments, slowdown and quantiles of the response times of the jobs that arrive after the warm-up."""

    def __init__(self) -> None:
        self.sums = np.zeros(4)  # jobs, sum, sum of squares, sum of slowdowns
        self.histogram = np.zeros(_BINS, np.int64)

    def add(self, done: np.ndarray, since: float) -> None:
        """Add the rows (response time, size, arrival) of `done` that arrived after `since`."""
        _add(done, since, self.sums, self.histogram)

    def quantile(self, q: float) -> float:
        """The q-quantile of the response time, to within a bin's interpolation (about 0.1%)."""
        cumulative = np.cumsum(self.histogram)
        target = q * cumulative[-1]
        index = int(np.searchsorted(cumulative, target))
        below = cumulative[index] - self.histogram[index]
        edges = (np.array([index, index + 1], np.int64) + _LOWEST) << _SHIFT
        low, high = edges.view(np.float64)
        return float(low + (high - low) * (target - below) / self.histogram[index])
