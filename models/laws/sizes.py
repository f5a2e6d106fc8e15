"""Mathematical laws of a job's size with closed forms for everything: exponential, Weibull."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from openqueues.models.laws.base import SizeLaw, floats, positive_part, probabilities, special
from openqueues.models.laws.parameters import Parameters, spec, unless


@dataclass(frozen=True, eq=False, repr=False)
class Exponential(SizeLaw):
    """P(S > x) = exp(-x/mean)."""

    mean: float = 1.0

    @classmethod
    def read(cls, given: Parameters) -> Exponential:
        return cls(given.positive("mean", 1.0))

    @property
    def spec(self):
        return spec("exponential", mean=unless(self.mean, 1.0))

    def moment(self, k):
        return self.mean**k * math.gamma(k + 1)

    def pdf(self, x):
        x = floats(x)
        return np.where(x < 0, 0.0, np.exp(-positive_part(x) / self.mean) / self.mean)

    def cdf(self, x):
        return -np.expm1(-positive_part(x) / self.mean)

    def sf(self, x):
        return np.exp(-positive_part(x) / self.mean)

    def ppf(self, u):
        with np.errstate(divide="ignore"):
            return -self.mean * np.log1p(-probabilities(u))

    def partial_moment(self, k, x):
        return self.moment(k) * special().gammainc(k + 1, positive_part(x) / self.mean)

    def tail_moment(self, k, x):
        return self.moment(k) * special().gammaincc(k + 1, positive_part(x) / self.mean)

    def fill(self, rng, out):
        rng.standard_exponential(out=out)
        if self.mean != 1.0:
            out *= self.mean


@dataclass(frozen=True, eq=False, repr=False)
class Weibull(SizeLaw):
    """P(S > x) = exp(-(x/scale)^shape), scale = mean / Gamma(1 + 1/shape).

    At shape 1/2 and mean 1 the distribution function is 1 - exp(-sqrt(2x)). With t = (x/scale)^shape,
    E[S^k; S <= x] = scale^k times the lower incomplete gamma function of 1 + k/shape at t.
    """

    shape: float
    mean: float = 1.0

    @classmethod
    def read(cls, given: Parameters) -> Weibull:
        # Below 0.05 the third moment leaves the range of a float; no workload is near either end.
        shape = given.number("shape", right="a number from 0.05 to 100", valid=lambda v: 0.05 <= v <= 100)
        return cls(shape, given.positive("mean", 1.0))

    @property
    def spec(self):
        return spec("weibull", shape=self.shape, mean=unless(self.mean, 1.0))

    @property
    def scale(self) -> float:
        return self.mean / math.gamma(1 + 1 / self.shape)

    def _exponent(self, x):
        return (positive_part(x) / self.scale) ** self.shape

    def moment(self, k):
        return self.scale**k * math.gamma(1 + k / self.shape)

    def pdf(self, x):
        x = floats(x)
        t = self._exponent(x)
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = self.shape / self.scale * (positive_part(x) / self.scale) ** (self.shape - 1)
            return np.where(x < 0, 0.0, slope * np.exp(-t))

    def cdf(self, x):
        return -np.expm1(-self._exponent(x))

    def sf(self, x):
        return np.exp(-self._exponent(x))

    def ppf(self, u):
        with np.errstate(divide="ignore"):
            return self.scale * (-np.log1p(-probabilities(u))) ** (1 / self.shape)

    def partial_moment(self, k, x):
        return self.moment(k) * special().gammainc(1 + k / self.shape, self._exponent(x))

    def tail_moment(self, k, x):
        return self.moment(k) * special().gammaincc(1 + k / self.shape, self._exponent(x))

    def fill(self, rng, out):
        rng.standard_exponential(out=out)
        out **= 1 / self.shape
        out *= self.scale
