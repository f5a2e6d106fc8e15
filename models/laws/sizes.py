"""Laws of a job's size that have a density from 0 to infinity.

Moments, truncated moments and distribution functions are closed forms, written so that no digits cancel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from openqueues.models.laws.base import SizeLaw, floats, positive_part, probabilities
from openqueues.models.laws.parameters import Parameters, spec, unless
from openqueues.models.special import gammainc, gammaincc, ndtr, ndtri


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
        return self.moment(k) * gammainc(k + 1, positive_part(x) / self.mean)

    def tail_moment(self, k, x):
        return self.moment(k) * gammaincc(k + 1, positive_part(x) / self.mean)

    def fill(self, rng, out):
        from openqueues.models.exponential import fill_exponential

        fill_exponential(rng, out)
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
        return self.moment(k) * gammainc(1 + k / self.shape, self._exponent(x))

    def tail_moment(self, k, x):
        return self.moment(k) * gammaincc(1 + k / self.shape, self._exponent(x))

    def fill(self, rng, out):
        from openqueues.models.exponential import fill_exponential

        fill_exponential(rng, out)
        out **= 1 / self.shape
        out *= self.scale


@dataclass(frozen=True, eq=False, repr=False)
class Lognormal(SizeLaw):
    """log S is normal with standard deviation sigma and mean log(mean) - sigma^2/2.

    E[S^k; S <= x] = E[S^k] Phi(z - k sigma), where z is the standardised log x.
    """

    sigma: float
    mean: float = 1.0

    @classmethod
    def read(cls, given: Parameters) -> Lognormal:
        right = "a number above 0 and at most 10"
        sigma = given.number("sigma", right=right, valid=lambda v: 0 < v <= 10)
        return cls(sigma, given.positive("mean", 1.0))

    @property
    def spec(self):
        return spec("lognormal", sigma=self.sigma, mean=unless(self.mean, 1.0))

    @property
    def _mu(self) -> float:
        return math.log(self.mean) - self.sigma**2 / 2

    def _standardised(self, x):
        with np.errstate(divide="ignore"):
            return (np.log(positive_part(x)) - self._mu) / self.sigma

    def moment(self, k):
        return self.mean**k * math.exp(k * (k - 1) * self.sigma**2 / 2)

    def pdf(self, x):
        x = positive_part(x)
        z = self._standardised(x)
        with np.errstate(divide="ignore", invalid="ignore"):
            density = np.exp(-(z**2) / 2) / (x * (self.sigma * math.sqrt(2 * math.pi)))
        return np.where(x > 0, density, 0.0)

    def cdf(self, x):
        return ndtr(self._standardised(x))

    def sf(self, x):
        return ndtr(-self._standardised(x))

    def ppf(self, u):
        return np.exp(self._mu + self.sigma * ndtri(probabilities(u)))

    def partial_moment(self, k, x):
        return self.moment(k) * ndtr(self._standardised(x) - k * self.sigma)

    def tail_moment(self, k, x):
        return self.moment(k) * ndtr(k * self.sigma - self._standardised(x))

    def fill(self, rng, out):
        rng.standard_normal(out=out)
        out *= self.sigma
        out += self._mu
        np.exp(out, out=out)


@dataclass(frozen=True, eq=False, repr=False)
class Hyperexponential(SizeLaw):
    """A mixture of two exponentials with balanced means: each branch brings half of the work.

    scv is the squared coefficient of variation. With r = sqrt((scv-1)/(scv+1)) the branches have the
    probabilities (1 +- r)/2 and the means mean/(1 +- r).
    """

    scv: float
    mean: float = 1.0

    @classmethod
    def read(cls, given: Parameters) -> Hyperexponential:
        scv = given.number("scv", right="a number from 1 to 1e6", valid=lambda v: 1 <= v <= 1e6)
        return cls(scv, given.positive("mean", 1.0))

    @property
    def spec(self):
        return spec("hyperexponential", scv=self.scv, mean=unless(self.mean, 1.0))

    @property
    def _branches(self) -> tuple[tuple[float, Exponential], tuple[float, Exponential]]:
        """(probability, law) of the short and of the long branch."""
        r = math.sqrt((self.scv - 1) / (self.scv + 1))
        # (1 - r)/2 without the cancellation: 1 - r^2 = 2 / (scv + 1).
        rare = 1 / ((self.scv + 1) * (1 + r))
        return (1 - rare, Exponential(self.mean / (1 + r))), (rare, Exponential(self.mean / (2 * rare)))

    def _mix(self, of):
        (p, short), (q, long) = self._branches
        return p * of(short) + q * of(long)

    def moment(self, k):
        return self._mix(lambda branch: branch.moment(k))

    def pdf(self, x):
        return self._mix(lambda branch: branch.pdf(x))

    def cdf(self, x):
        return self._mix(lambda branch: branch.cdf(x))

    def sf(self, x):
        return self._mix(lambda branch: branch.sf(x))

    def ppf(self, u):
        with np.errstate(divide="ignore"):
            target = np.log1p(-probabilities(u))
        x = np.zeros_like(target)
        # log P(S > x) is convex and falling, so Newton's method from 0 climbs to the root from below. A
        # small u is matched in the distribution function, where a step from 0 keeps all digits.
        for _ in range(100):
            with np.errstate(divide="ignore", invalid="ignore"):
                cdf, sf = self.cdf(x), self.sf(x)
                miss = np.where(cdf < 0.5, np.log1p(-cdf), np.log(sf)) - target
                step = miss * sf / self.pdf(x)
            step = np.where(np.isfinite(step), step, 0.0)
            x = x + step
            if not np.any(np.abs(step) > 1e-15 * x):
                break
        return np.where(np.isfinite(target), x, np.where(np.isnan(target), np.nan, np.inf))[()]

    def partial_moment(self, k, x):
        return self._mix(lambda branch: branch.partial_moment(k, x))

    def tail_moment(self, k, x):
        return self._mix(lambda branch: branch.tail_moment(k, x))

    def fill(self, rng, out):
        # One uniform chooses the branch; within its branch it is uniform again and gives the exponential.
        # 1 - p and not the exact q: the quotient must stay below 1, or the logarithm is infinite.
        (p, short), (_, long) = self._branches
        rng.random(out=out)
        first = out < p
        np.subtract(out, p, out=out, where=~first)
        out /= np.where(first, p, 1 - p)
        np.negative(out, out=out)
        np.log1p(out, out=out)
        out *= np.where(first, -short.mean, -long.mean)
