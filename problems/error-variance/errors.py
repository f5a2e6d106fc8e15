"""Errors with unbounded support: factors whose logarithm is exponential, and shares of arbitrarily bad predictions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from openqueues.models.analysis.grid import ORDERS, Grid, halved, panel_edges, spread
from openqueues.models.errors import InputError
from openqueues.models.exponential import fill_exponential
from openqueues.models.laws import PredictionLaw, SizeLaw
from openqueues.models.laws.noise import Noise


@dataclass(frozen=True)
class LogExponential(Noise):
    """log N = sign sigma (E - 1), E exponential with mean 1: a tail of index 1/sigma above, or below in 1/N."""

    sigma: float
    sign: int

    @property
    def support(self):
        return (math.exp(-self.sigma), math.inf) if self.sign > 0 else (0.0, math.exp(self.sigma))

    @property
    def breakpoints(self):
        return (math.exp(-self.sign * self.sigma),)

    def _tail(self, v):
        """P(N > v) for sign 1, P(N < v) for sign -1."""
        v = np.maximum(np.asarray(v, dtype=float), 0.0)
        with np.errstate(divide="ignore"):
            exponent = self.sign * np.log(v) / self.sigma + 1
        return np.exp(-np.maximum(exponent, 0.0))

    def pdf(self, v):
        v = np.asarray(v, dtype=float)
        inside = (v > 0) & (v >= self.support[0]) & (v <= self.support[1])
        return np.where(inside, self._tail(v) / (self.sigma * np.where(inside, v, 1.0)), 0.0)

    def cdf(self, v):
        return 1 - self._tail(v) if self.sign > 0 else self._tail(v)

    def moment(self, k):
        power = self.sign * k * self.sigma
        return math.exp(-power) / (1 - power) if power < 1 else math.inf

    def fill(self, rng, out):
        fill_exponential(rng, out)
        out -= 1
        out *= self.sign * self.sigma
        np.exp(out, out=out)


@dataclass(frozen=True, eq=False)
class Tailed(PredictionLaw):
    """The prediction is the size times such a factor."""

    sigma: float
    sign: int

    @property
    def spec(self):
        return f"{'over' if self.sign > 0 else 'under'}:sigma={self.sigma!r}"

    @property
    def noise(self):
        return LogExponential(self.sigma, self.sign)


@dataclass(frozen=True)
class SomeBad:
    """A share of the jobs is predicted 0, all others exactly: jobs at random, or (`longest`) the longest.

    Offers what the simulator asks of a joint law.
    """

    sizes: SizeLaw
    share: float
    longest: bool
    is_exact = False

    def __post_init__(self):
        if not 0 < self.share < 1:
            raise InputError(f"the share of bad predictions is {self.share}: it must be above 0 and below 1.")
        if self.sizes.atoms is not None:
            raise InputError(f"sizes '{self.sizes.spec}' have no density: use a law that has one.")

    @property
    def threshold(self) -> float:
        return float(self.sizes.ppf(1 - self.share))

    def fill_predictions(self, rng: np.random.Generator, sizes: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` with the predictions of `sizes`; as many random numbers for either kind."""
        rng.random(out=out)
        bad = sizes > self.threshold if self.longest else out < self.share
        np.multiply(sizes, ~bad, out=out)

    def mean_response(self, load: float, policy: str) -> tuple[float, float]:
        """(value, error) under pspjf, bounce or sprpt: the badly predicted come first, first come first served.

        The others are served by PSJF or SRPT in what is left: the formulas of Schrage and Miller with the load
        and the second moment of the bad jobs added to those of the shorter ones. The error is the difference of
        two resolutions.
        """
        cut = self.threshold if self.longest else math.inf
        edges = panel_edges(
            *spread(self.sizes.pdf, self.sizes.cdf, self.sizes.support),
            (*self.sizes.support, *self.sizes.breakpoints, cut),
        )
        coarse, value = (self._mean(load, policy, cut, Grid(e, ORDERS[1])) for e in (edges, halved(edges)))
        return value, abs(value - coarse) + 1e-9 * value

    def _mean(self, load, policy, cut, grid):
        law, rate, x = self.sizes, load / self.sizes.mean, grid.x
        share = 1.0 if self.longest else 1 - self.share  # of the jobs of a size up to cut that are good
        at = np.minimum(x, cut)
        upto = [share * row for row in (law.cdf(at), law.partial_moment(1, at), law.partial_moment(2, at))]
        if self.longest:
            bad = [float(law.tail_moment(k, cut)) for k in range(3)]
        else:
            bad = [self.share * law.moment(k) for k in range(3)]
        weight = share * law.pdf(x) * grid.weights * (x <= cut)
        free = 1 - rate * (bad[1] + upto[1])
        if policy == "pspjf":
            given = rate * (bad[2] + upto[2]) / (2 * free**2) + x / free
        else:
            left = x**2 * (1 - bad[0] - upto[0])
            given = rate * (bad[2] + upto[2] + left) / (2 * free**2) + grid.running(1 / free)
        return bad[1] + bad[0] * rate * bad[2] / (2 * (1 - rate * bad[1])) + float(weight @ given)
