"""Laws of a job's size that have a density between two finite ends: bounded Pareto and uniform."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.laws.base import SizeLaw, floats, probabilities
from openqueues.models.laws.parameters import Parameters, spec, unless


@dataclass(frozen=True, eq=False, repr=False)
class Pareto(SizeLaw):
    """Bounded Pareto: density proportional to x^(-alpha-1) between low and high = ratio * low."""

    alpha: float
    ratio: float
    mean: float = 1.0

    @classmethod
    def read(cls, given: Parameters) -> Pareto:
        alpha = given.number("alpha", right="a number above 0 and at most 100", valid=lambda v: 0 < v <= 100)
        right = "the largest size over the smallest, a number above 1 and at most 1e15"
        ratio = given.number("ratio", right=right, valid=lambda v: 1 < v <= 1e15)
        return cls(alpha, ratio, given.positive("mean", 1.0))

    @property
    def spec(self):
        return spec("pareto", alpha=self.alpha, ratio=self.ratio, mean=unless(self.mean, 1.0))

    @property
    def _factor(self) -> float:
        return self.alpha / -math.expm1(-self.alpha * math.log(self.ratio))

    @property
    def _low(self) -> float:
        return self.mean / (self._factor * float(_power_integral(1 - self.alpha, math.log(self.ratio))))

    @property
    def support(self):
        return self._low, self._low * self.ratio

    @property
    def breakpoints(self):
        return self.support

    def moment(self, k):
        return self._low**k * self._factor * float(_power_integral(k - self.alpha, math.log(self.ratio)))

    def _within(self, x):
        return np.clip(floats(x), *self.support)

    def pdf(self, x):
        x, (low, high) = floats(x), self.support
        t = self._within(x)
        return np.where((x < low) | (x > high), 0.0, self._factor * (low / t) ** self.alpha / t)

    def cdf(self, x):
        return self.partial_moment(0, x)

    def sf(self, x):
        return self.tail_moment(0, x)

    def ppf(self, u):
        u = probabilities(u)
        power = -self.alpha * math.log(self.ratio)
        # 1 - u + u ratio^-alpha, in the form that does not cancel at the end where u is.
        upper = np.log((1 - u) + u * math.exp(power))
        logarithm = np.where(u < 0.5, np.log1p(u * math.expm1(power)), upper)
        return self._within(self._low * np.exp(-logarithm / self.alpha))

    def partial_moment(self, k, x):
        low = self._low
        spread = np.log1p((self._within(x) - low) / low)
        return self._factor * low**k * _power_integral(k - self.alpha, spread)

    def tail_moment(self, k, x):
        t, (low, high) = self._within(x), self.support
        spread = np.log1p((high - t) / t)
        return self._factor * t**k * (low / t) ** self.alpha * _power_integral(k - self.alpha, spread)

    def fill(self, rng, out):
        rng.random(out=out)
        out[...] = self.ppf(out)


def _power_integral(power, z):
    """The integral of exp(power * t) for t from 0 to z: what int t^(power-1) dt is from 1 to e^z."""
    return np.expm1(power * z) / power if power else floats(z)


@dataclass(frozen=True, eq=False, repr=False)
class Uniform(SizeLaw):
    """Uniform between low and high; without them between 0 and twice the mean."""

    low: float
    high: float

    @classmethod
    def read(cls, given: Parameters) -> Uniform:
        if not given.has("low") and not given.has("high"):
            return cls(0.0, 2 * given.positive("mean", 1.0))
        low = given.number("low", 0.0, right="a finite number from 0", valid=lambda v: v >= 0)
        high = given.number("high", right=f"a finite number above low={low:g}", valid=lambda v: v > low)
        if given.has("mean"):
            raise InputError(f"{given.where} has low, high and mean: give either mean, or low and high.")
        return cls(low, high)

    @property
    def spec(self):
        if self.low == 0:
            return spec("uniform", mean=unless(self.mean, 1.0))
        return spec("uniform", low=self.low, high=self.high)

    @property
    def mean(self):
        return (self.low + self.high) / 2

    @property
    def support(self):
        return self.low, self.high

    @property
    def breakpoints(self):
        return tuple(end for end in self.support if end > 0)

    def _mean_power(self, k, a, b):
        """The mean of t^k between a and b: (b^(k+1) - a^(k+1)) / ((k+1) (b-a)) without the cancellation."""
        return sum(a**i * b ** (k - i) for i in range(k + 1)) / (k + 1)

    def _within(self, x):
        return np.clip(floats(x), self.low, self.high)

    def moment(self, k):
        return float(self._mean_power(k, self.low, self.high))

    def pdf(self, x):
        x = floats(x)
        return np.where((x < self.low) | (x > self.high), 0.0, 1 / (self.high - self.low))

    def cdf(self, x):
        return (self._within(x) - self.low) / (self.high - self.low)

    def sf(self, x):
        return (self.high - self._within(x)) / (self.high - self.low)

    def ppf(self, u):
        return self._within(self.low + probabilities(u) * (self.high - self.low))

    def partial_moment(self, k, x):
        return self.cdf(x) * self._mean_power(k, self.low, self._within(x))

    def tail_moment(self, k, x):
        return self.sf(x) * self._mean_power(k, self._within(x), self.high)

    def fill(self, rng, out):
        rng.random(out=out)
        out *= self.high - self.low
        out += self.low
