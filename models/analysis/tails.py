"""Distribution of the response time without simulation: transforms inverted numerically.

    quantiles(joint_law("weibull:shape=0.5", "exponential"), 0.9, "sprpt", (0.5, 0.99, 0.999))

The inversion is Euler's (Abate and Whitt, A unified framework for numerically inverting Laplace transforms,
INFORMS Journal on Computing 18, 2006): the transform at 2M+1 points of the line Re s = M ln(10) / (3 t).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
from openqueues.models.analysis.api import _with_thresholds, checked_load, read
from openqueues.models.analysis.tails_tables import COARSE, FINE, Setting
from openqueues.models.errors import InputError
from openqueues.models.laws import JointLaw

LEAST, MOST = 1e-3, 0.99999
"""Levels between which the inversion, exact to about 1e-7 in probability, resolves quantiles."""


def _transforms() -> Mapping[str, Callable[..., Any]]:
    """Policy to a function of (queue, parameters); numba is imported only here."""
    from openqueues.models.analysis import tails_transforms as of
    from openqueues.models.analysis.tails_sharing import sharing

    def bits(queue, by, threshold=None, thresholds=None, preemptive=True, bits=1):
        return of.classes(queue, by, threshold if thresholds is None else thresholds, preemptive)

    return {
        "fcfs": of.first_come,
        "lcfs": of.last_come,
        "ps": sharing,
        "las": of.least_attained,
        "sjf": partial(of.shortest, by="size", preemptive=False),
        "psjf": partial(of.shortest, by="size", preemptive=True),
        "srpt": partial(of.falling, by="size"),
        "spjf": partial(of.shortest, by="predicted", preemptive=False),
        "pspjf": partial(of.shortest, by="predicted", preemptive=True),
        "sprpt": partial(of.falling, by="predicted"),
        "onebit": partial(bits, by="predicted"),
        "onebit-true": partial(bits, by="size"),
        "kbit": partial(bits, by="predicted"),
    }


TAILED = (
    "fcfs",
    "lcfs",
    "ps",
    "las",
    "sjf",
    "psjf",
    "srpt",
    "spjf",
    "pspjf",
    "sprpt",
    "onebit",
    "onebit-true",
    "kbit",
)  # fmt: skip
"""The policies whose distribution of the response time is known."""


def quantiles(joint: JointLaw, load: float, policy: str, levels: Sequence[float]) -> dict[float, tuple[float, float]]:
    """{level: (quantile, error)} of the response time of M/G/1, in the law's unit of time.

    levels are probabilities from 0.001 to 0.99999. The error is how far two resolutions of the tables and of
    the inversion are apart. InputError for a policy whose distribution is not analysed.
    """
    levels = [checked_level(level) for level in levels]
    response = _Response(joint, load, policy)
    guess, found = joint.sizes.mean, {}
    for level in sorted(set(levels)):
        value, error, guess = response.quantile(level, guess)
        found[level] = value, error
    return {level: found[level] for level in levels}


def tail_probability(joint: JointLaw, load: float, policy: str, times: Sequence[float]) -> np.ndarray:
    """P(response time > t) for each of `times`, which are positive numbers in the law's unit."""
    times = np.atleast_1d(np.asarray(times, dtype=float))
    if not np.all((times > 0) & np.isfinite(times)):
        raise InputError("a time is not a finite number above 0: give positive times.")
    response = _Response(joint, load, policy)
    return np.array([response.at(float(time), FINE)[0] for time in times])


def second_moment(joint: JointLaw, load: float, policy: str) -> tuple[float, float]:
    """(E[T^2], error) of the response time T: twice the bend of the transform at 0, from values nearby."""
    response = _Response(joint, load, policy)
    scale = response.quantile(0.999, joint.sizes.mean)[0]
    return response.second_moment(scale)


def checked_level(level: float) -> float:
    """`level` as a float; InputError unless it is a probability that can be resolved."""
    number = isinstance(level, int | float | np.number) and not isinstance(level, bool)
    if not number or not 0 < level < 1:
        raise InputError(f"level is {level}: a quantile needs a level above 0 and below 1, like 0.99.")
    if not LEAST <= level <= MOST:
        raise InputError(f"level is {level}: quantiles are analysed for levels from {LEAST} to {MOST}.")
    return float(level)


class _Response:
    """The response time under one policy: its tail and density at any time, at two resolutions."""

    def __init__(self, joint, load, policy):
        load = checked_load(load)
        name, entry, parameters = read(policy)
        if name not in TAILED:
            raise InputError(f"quantiles of policy '{name}' are not analysed, but those of {', '.join(TAILED)} are.")
        self._joint, self._load = joint, load
        self._policy = partial(_transforms()[name], **_with_thresholds(joint, load, entry, parameters))
        self._kept = {}

    def transform(self, time: float, setting: Setting):
        """The transform with tables for times near `time`."""
        scale = 2.0 ** round(math.log2(time))
        if (scale, setting) not in self._kept:
            from openqueues.models.analysis.tails_transforms import Queue

            self._kept[scale, setting] = self._policy(Queue(self._joint, self._load, scale, setting))
        return self._kept[scale, setting]

    def second_moment(self, scale: float) -> tuple[float, float]:
        """The slope at 0 of (1 - transform)/s = E[T] - s E[T^2]/2 + ..., by polynomials of two steps.

        The steps are small enough for heavy tails, whose series do not converge, and large enough for rounding.
        """
        transform = self.transform(scale, FINE)
        steps = np.arange(1.0, 9.0)
        slopes = []
        for width in (0.02, 0.03):
            s = steps * width / scale
            values = (1 - transform(s.astype(complex)).real) / s
            slopes.append(np.linalg.solve(np.vander(steps, increasing=True), values)[1] * -2 * scale / width)
        return float(slopes[0]), float(abs(slopes[0] - slopes[1]))

    def at(self, time: float, setting: Setting) -> tuple[float, float]:
        """(P(T > time), density times `time`)."""
        points, weights = _euler(setting.terms)
        s = points / time
        value = self.transform(time, setting)(s)
        return float(weights @ ((1 - value) / points).real), float(weights @ value.real)

    def quantile(self, level: float, guess: float) -> tuple[float, float, float]:
        """(quantile, error, a guess of the next one)."""
        target = math.log((1 - level) / level)
        coarse, _ = self._search(target, guess, COARSE)
        fine, slope = self._search(target, coarse, FINE)
        return fine, abs(fine - coarse), fine * (1 + 1 / max(slope, 0.1))

    def _search(self, target, time, setting):
        """The time at which the log-odds of the tail meet the target, by Newton's method in log time."""
        low, high = -math.inf, math.inf
        at, slope = math.log(time), 1.0
        for _ in range(60):
            tail, density = self.at(math.exp(at), setting)
            if 0 < tail < 1:
                miss = math.log(tail / (1 - tail)) - target
                slope = density / (tail * (1 - tail))
            else:
                miss = math.copysign(1.0, tail - 0.5)
                slope = 1.0
            low, high = (at, high) if miss > 0 else (low, at)
            step = miss / slope if slope > 0 else math.copysign(1.0, miss)
            new = at + min(max(step, -1.5), 1.5)
            if abs(step) <= 3e-3 and slope > 0:
                return math.exp(new), slope
            if not low < new < high:
                new = 0.5 * (low + high)
            if abs(new - at) < 1e-12:
                break
            at = new
        return math.exp(at), slope


@lru_cache(maxsize=8)
def _euler(terms: int) -> tuple[np.ndarray, np.ndarray]:
    """Points b and real weights: f(t) t = weights @ Re F(b/t) for the transform F of f."""
    k = np.arange(2 * terms + 1)
    weights = np.ones(len(k))
    weights[0] = 0.5
    weights[-1] = 2.0**-terms
    for j in range(1, terms):
        weights[-1 - j] = weights[-j] + 2.0**-terms * math.comb(terms, j)
    weights = weights * (-1.0) ** k * 10 ** (terms / 3)
    return terms * math.log(10) / 3 + 1j * np.pi * k, weights
