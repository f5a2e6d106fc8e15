"""Template of the rows of jobs that run on several servers, and their speed."""

from numba import njit

ARRIVAL, SIZE, PREDICTED, TRAIT, GUESS, AGE, GIVEN, SPEED = 0, 1, 2, 3, 4, 5, 6, 7


@njit(cache=True, nogil=True)
def speed(servers, power):
    """How many times faster than on one server: in proportion up to one, then servers**power."""
    return servers if servers <= 1.0 else servers**power
