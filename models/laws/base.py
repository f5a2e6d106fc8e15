"""What every size law offers, and the numerical helpers that several of them share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Array = np.ndarray


class SizeLaw:
    """The law of a job's size, in units of time on one server; immutable, equal when `spec` is equal.

    Arguments x, u may be scalars or arrays; answers are float64 arrays of the same shape.
    """

    __slots__ = ()
    atoms: tuple[Array, Array] | None = None
    """(values ascending, weights adding to 1) of a discrete law, None for a law with a density."""
    breakpoints: tuple[float, ...] = ()
    """Points where the density is not smooth, besides 0 and infinity; empty for a discrete law."""
    source: str | None = None
    """Where measured data come from, None for a mathematical law."""

    @property
    def spec(self) -> str:
        """The canonical text: `size_law(law.spec) == law`."""
        raise NotImplementedError

    @property
    def mean(self) -> float:
        raise NotImplementedError

    @property
    def support(self) -> tuple[float, float]:
        """(smallest, largest) size; the largest may be infinity."""
        return 0.0, np.inf

    def moment(self, k: int) -> float:
        """E[S^k]."""
        raise NotImplementedError

    def pdf(self, x: ArrayLike) -> Array:
        """The density at x; NotImplementedError for a discrete law."""
        raise NotImplementedError(f"{self.spec} has no density: use its atoms")

    def cdf(self, x: ArrayLike) -> Array:
        """P(S <= x)."""
        raise NotImplementedError

    def sf(self, x: ArrayLike) -> Array:
        """P(S > x), accurate relative to itself far in the tail."""
        return 1.0 - self.cdf(x)

    def ppf(self, u: ArrayLike) -> Array:
        """The smallest x with P(S <= x) >= u; NaN for u outside [0, 1]."""
        raise NotImplementedError

    def partial_moment(self, k: int, x: ArrayLike) -> Array:
        """E[S^k; S <= x] for k = 0..3, accurate relative to itself for small x too."""
        raise NotImplementedError

    def tail_moment(self, k: int, x: ArrayLike) -> Array:
        """E[S^k; S > x] for k = 0..3; where the law allows, accurate relative to itself in the tail."""
        return self.moment(k) - self.partial_moment(k, x)

    def fill(self, rng: np.random.Generator, out: Array) -> None:
        """Fill the float64 vector `out` with independent sizes.

        A function of the generator's state alone: filling n1 and then n2 values gives the same values and
        leaves the same state as filling n1 + n2 at once.
        """
        raise NotImplementedError

    def sample(self, rng: np.random.Generator, n: int) -> Array:
        """n independent sizes: `fill` into a new vector."""
        out = np.empty(n)
        self.fill(rng, out)
        return out

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.spec!r})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.spec == self.spec

    def __hash__(self) -> int:
        return hash(self.spec)


def floats(x: ArrayLike) -> Array:
    return np.asarray(x, dtype=np.float64)


def positive_part(x: ArrayLike) -> Array:
    """x where it is above 0, else 0: the distribution functions below need no other care for x < 0."""
    return np.maximum(floats(x), 0.0)


def probabilities(u: ArrayLike) -> Array:
    """u with everything outside [0, 1] turned into NaN."""
    u = floats(u)
    return np.where((u >= 0) & (u <= 1), u, np.nan)
