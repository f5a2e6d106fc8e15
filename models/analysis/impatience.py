"""One server, first come first served, whose customers leave when they have waited for a fixed time.

The work V that an arrival finds decides whether it is ever served: it leaves if V exceeds its patience. Below the
patience the law of V is that of a queue that loses nobody up to a constant, P(V <= x) = P(V = 0) K(x), where

    K(x) = 1 + integral over [0, x] of K(x - y) dG(y),   G(y) = rate times the integral over [0, y] of P(S > u) du,

also for loads of one and more. The server is busy with the work of those who stay, so that 1 - P(V = 0) =
load P(V <= patience), hence P(V = 0) = 1/(1 + load K(patience)).
"""

from __future__ import annotations

import numpy as np
from openqueues.models.errors import InputError

STEPS = 1024
"""Steps up to the patience, of the coarse one of two grids."""


def impatient(rate: float, sizes: np.ndarray, weights: np.ndarray, patience: float) -> dict[str, tuple[float, float]]:
    """{"loss": share that leaves, "served_wait": mean wait of those who stay}, each (value, error).

    sizes, weights: times of service, ascending, and their probabilities, (m,). The error is that of the grid.
    """
    sizes, weights = np.asarray(sizes, float), np.asarray(weights, float)
    if not (rate > 0 and patience > 0):
        raise InputError(f"rate is {rate} and patience {patience}: both must be above 0.")
    if abs(weights.sum() - 1) > 1e-9 or np.any(weights < 0) or np.any(np.diff(sizes) <= 0) or sizes[0] < 0:
        raise InputError("sizes must ascend from at least 0 and weights be probabilities that add to 1.")
    coarse, fine = (_solved(rate, sizes, weights, patience, steps) for steps in (STEPS, 2 * STEPS))
    found = {}
    for name, few, many in zip(("loss", "served_wait"), coarse, fine, strict=True):
        # The trapezoidal rule's error falls with the square of the step.
        found[name] = (many + (many - few) / 3, abs(many - few) / 3 + 1e-12)
    return found


def _solved(rate, sizes, weights, patience, steps) -> tuple[float, float]:
    grid = np.linspace(0.0, patience, steps + 1)
    load = rate * float(weights @ sizes)
    # Integral over [0, y] of P(S > u) du = E[min(S, y)].
    mass, part = np.append(0.0, np.cumsum(weights)), np.append(0.0, np.cumsum(weights * sizes))
    place = np.searchsorted(sizes, grid, "right")
    increments = rate * np.diff(part[place] + (1.0 - mass[place]) * grid)
    k = np.empty(steps + 1)
    k[0] = 1.0
    middle = np.empty(steps)  # mean of K over a step
    for i in range(1, steps + 1):
        rest = 1.0 + 0.5 * increments[0] * k[i - 1] + float(middle[: i - 1][::-1] @ increments[1:i])
        k[i] = rest / (1.0 - 0.5 * increments[0])
        middle[i - 1] = 0.5 * (k[i - 1] + k[i])
    stay = k[-1] / (1.0 + load * k[-1])
    return 1.0 - stay, patience - float(middle.sum()) * patience / steps / k[-1]
