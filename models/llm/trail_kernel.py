"""The filter of TRAIL's predictions, compiled: one pass over every renewal of every request."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def fill(tokens, start, every, sigmas, step, middles, most, correlation, smoothing, normal, estimate, out):
    """Fill `estimate` (by request) and `out` (by renewal; it comes in as independent normal draws).

    tokens, start: output lengths, and where the renewals of each request begin; sigmas: errors of the classifier of
    the prompt and of the one of renewals; step: T^every for row vectors from the left; normal: draws of the prompts.
    """
    bins = middles.size
    belief, moved = np.empty(bins), np.empty(bins)
    for i in range(tokens.size):
        classify(min(tokens[i], most) + sigmas[0] * normal[i], sigmas[0], middles, moved)
        estimate[i] = settle(moved, middles, belief)
        error = 0.0
        for j in range(start[i + 1] - start[i]):
            k = start[i] + j
            error = correlation * error + (np.sqrt(1 - correlation * correlation) if j else 1.0) * out[k]
            seen = min(tokens[i] - (j + 1) * every, most) + sigmas[1] * error
            classify(seen, sigmas[1], middles, moved)
            if smoothing:
                for b in range(bins):
                    carried = 0.0
                    for c in range(b, bins):
                        carried += belief[c] * step[c, b]
                    # The least weight keeps a belief that met an impossible observation from vanishing.
                    moved[b] *= max(carried, 1e-12)
            out[k] = settle(moved, middles, belief)


@njit(cache=True, nogil=True)
def classify(seen, sigma, middles, weights):
    """Weights exp(-(middle - seen)^2 / (2 sigma^2)) of the bins, times what makes the largest 1.

    From one bin to the next the weight changes by a ratio that itself changes by a constant factor.
    """
    bins, width, half = middles.size, middles[1] - middles[0], 0.5 / (sigma * sigma)
    nearest = min(max(int(seen / width), 0), bins - 1)
    away = middles[nearest] - seen
    factor = np.exp(-2.0 * half * width * width)
    weights[nearest] = 1.0
    ratio = np.exp(-half * width * (width + 2.0 * away))
    for b in range(nearest + 1, bins):
        weights[b] = weights[b - 1] * ratio
        ratio *= factor
    ratio = np.exp(-half * width * (width - 2.0 * away))
    for b in range(nearest - 1, -1, -1):
        weights[b] = weights[b + 1] * ratio
        ratio *= factor


@njit(cache=True, nogil=True)
def settle(weights, middles, belief):
    """Make `belief` the distribution that is proportional to the weights; returns its mean."""
    total, mean = 0.0, 0.0
    for b in range(middles.size):
        total += weights[b]
    for b in range(middles.size):
        belief[b] = weights[b] / total
        mean += belief[b] * middles[b]
    return mean
