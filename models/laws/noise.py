"""Multiplicative noise: a prediction Y = X N whose factor N is independent of the size X."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from openqueues.models.laws.base import floats, positive_part
from openqueues.models.special import ndtr


class Noise:
    """The law of the factor N > 0; immutable."""

    __slots__ = ()
    breakpoints: tuple[float, ...] = ()
    """Points where the density is not smooth, besides 0 and infinity."""
    support: tuple[float, float] = (0.0, np.inf)

    def pdf(self, v):
        """The density at v."""
        raise NotImplementedError

    def cdf(self, v):
        """P(N <= v)."""
        raise NotImplementedError

    def moment(self, k: float) -> float:
        """E[N^k]; infinity where it diverges."""
        raise NotImplementedError

    def fill(self, rng: np.random.Generator, out: np.ndarray) -> None:
        """Fill `out` with independent factors, as `SizeLaw.fill` does with sizes."""
        raise NotImplementedError


@dataclass(frozen=True)
class ExponentialNoise(Noise):
    """N exponential with mean 1: the prediction is exponential with the size as its mean."""

    def pdf(self, v):
        v = floats(v)
        return np.where(v < 0, 0.0, np.exp(-positive_part(v)))

    def cdf(self, v):
        return -np.expm1(-positive_part(v))

    def moment(self, k):
        return math.gamma(k + 1) if k > -1 else np.inf

    def fill(self, rng, out):
        from openqueues.models.exponential import fill_exponential

        fill_exponential(rng, out)


@dataclass(frozen=True)
class UniformNoise(Noise):
    """N uniform between low and high."""

    low: float
    high: float

    @property
    def support(self):
        return self.low, self.high

    @property
    def breakpoints(self):
        return tuple(end for end in self.support if end > 0)

    def pdf(self, v):
        v = floats(v)
        return np.where((v < self.low) | (v > self.high), 0.0, 1 / (self.high - self.low))

    def cdf(self, v):
        return (np.clip(floats(v), self.low, self.high) - self.low) / (self.high - self.low)

    def moment(self, k):
        if self.low == 0 and k <= -1:
            return np.inf
        if k == -1:
            return math.log(self.high / self.low) / (self.high - self.low)
        return (self.high ** (k + 1) - self.low ** (k + 1)) / ((k + 1) * (self.high - self.low))

    def fill(self, rng, out):
        rng.random(out=out)
        out *= self.high - self.low
        out += self.low


@dataclass(frozen=True)
class LoguniformNoise(Noise):
    """log N uniform between log low and log high: over- and underestimates by a factor are alike."""

    low: float
    high: float

    @property
    def support(self):
        return self.low, self.high

    @property
    def breakpoints(self):
        return self.support

    @property
    def _width(self):
        return math.log(self.high / self.low)

    def pdf(self, v):
        v = floats(v)
        inside = np.clip(v, self.low, self.high)
        return np.where(v == inside, 1 / (inside * self._width), 0.0)

    def cdf(self, v):
        return np.log(np.clip(floats(v), self.low, self.high) / self.low) / self._width

    def moment(self, k):
        return (self.high**k - self.low**k) / (k * self._width) if k else 1.0

    def fill(self, rng, out):
        rng.random(out=out)
        out *= self._width
        np.exp(out, out=out)
        out *= self.low


@dataclass(frozen=True)
class LognormalNoise(Noise):
    """log N normal with standard deviation sigma, E[N] = bias."""

    sigma: float
    bias: float = 1.0

    @property
    def _mu(self):
        return math.log(self.bias) - self.sigma**2 / 2

    def _standardised(self, v):
        with np.errstate(divide="ignore"):
            return (np.log(positive_part(v)) - self._mu) / self.sigma

    def pdf(self, v):
        v = positive_part(v)
        z = self._standardised(v)
        with np.errstate(divide="ignore", invalid="ignore"):
            density = np.exp(-(z**2) / 2) / (v * (self.sigma * math.sqrt(2 * math.pi)))
        return np.where(v > 0, density, 0.0)

    def cdf(self, v):
        return ndtr(self._standardised(v))

    def moment(self, k):
        return math.exp(k * self._mu + (k * self.sigma) ** 2 / 2)

    def fill(self, rng, out):
        rng.standard_normal(out=out)
        out *= self.sigma
        out += self._mu
        np.exp(out, out=out)
