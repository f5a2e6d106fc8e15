"""The point of a unit cube where a function is largest, as far as a given number of looks finds it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from openqueues.models.errors import InputError


def largest(
    value: Callable[[np.ndarray], float],
    dimensions: int,
    *,
    members: int,
    budget: int,
    seed: int,
    report: Callable[[int, float], None] | None = None,
) -> np.ndarray:
    """A point z, (dimensions,) in [0, 1], of large value(z), by differential evolution; the same seed gives the same.

    `members` points make a generation, and about `budget` points are looked at; report is called with the number of
    those looked at and the largest value so far. InputError for a budget below 50.
    """
    from scipy.optimize import differential_evolution

    if budget < 50:
        raise InputError(f"budget is {budget}: give at least 50 instances.")
    done = members

    def follow(intermediate_result) -> None:
        nonlocal done
        done += members
        if report:
            report(done, -intermediate_result.fun)

    return differential_evolution(
        lambda z: -value(z),
        [(0.0, 1.0)] * dimensions,
        popsize=members / dimensions,
        maxiter=max(1, budget // members - 1),
        tol=0.0,
        init="sobol",
        polish=False,
        rng=seed,
        callback=follow,
    ).x
