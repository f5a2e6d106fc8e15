"""Multiplicative noise: a prediction Y = X N whose factor N is independent of the size X."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from openqueues.models.laws.base import floats, positive_part


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
        import math

        return math.gamma(k + 1) if k > -1 else np.inf

    def fill(self, rng, out):
        rng.standard_exponential(out=out)
