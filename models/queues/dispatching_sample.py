"""Template shared by the dispatching kernels: which queues an arrival asks, and which of them it joins."""

from numba import njit


@njit(cache=True, nogil=True)
def sample(uniforms, n, asked, chosen):
    """Fill `chosen` with `asked` distinct queues of n, ascending: the k-th is the one at place uniforms[k] * (n - k)
    among those not chosen yet."""
    for k in range(asked):
        queue = int(uniforms[k] * (n - k))
        place = 0
        while place < k and queue >= chosen[place]:
            queue += 1
            place += 1
        for j in range(k, place, -1):
            chosen[j] = chosen[j - 1]
        chosen[place] = queue


@njit(cache=True, nogil=True)
def pick(scores, asked, best, ties, uniform):
    """The place of one of the `ties` scores that equal the best: the one at place uniform * ties among them."""
    skip = int(uniform * ties)
    for k in range(asked):
        if scores[k] == best:
            if skip == 0:
                return k
            skip -= 1
    return 0
