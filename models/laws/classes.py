"""Predictions that name one of a few classes of sizes: their law given the true size, and drawing them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from openqueues.models.laws.base import SizeLaw, floats
from openqueues.models.laws.noise import Noise


@dataclass(frozen=True, eq=False)
class Classes:
    """A prediction that takes one of finitely many values.

    A class of true sizes is (edges[i-1], edges[i]]: a size at an edge belongs to the class below it.
    Class i is announced by `values[i]`, the mean size of the jobs that truly belong to it, so that a
    threshold at an edge, compared with the announced value, tells the classes apart.
    """

    values: np.ndarray
    edges: np.ndarray

    def probability(self, x) -> np.ndarray:
        """P(prediction = values[j] | size = x): array (len(x), len(values)), rows adding to 1."""
        raise NotImplementedError

    @property
    def breakpoints(self) -> tuple[float, ...]:
        """Sizes at which `probability` is not smooth."""
        return tuple(self.edges)

    def fill(self, rng: np.random.Generator, sizes: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` with a prediction for each of `sizes`, a function of `rng` and sizes alone."""
        raise NotImplementedError

    def true_class(self, x) -> np.ndarray:
        """The index of the class that each size truly belongs to."""
        return np.searchsorted(self.edges, floats(x), side="left")


def partition(sizes: SizeLaw, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(edges, shares, mean sizes) of the classes that `edges` cut the sizes into, empty classes dropped.

    Means come from tail moments beyond the median and partial moments below it, so that neither end loses
    digits to cancellation.
    """
    edges = np.unique(floats(edges))
    bounds = np.concatenate(([-np.inf], edges, [np.inf]))
    low, high = bounds[:-1], bounds[1:]
    upper = sizes.cdf(np.where(np.isinf(low), 0.0, low)) > 0.5
    share, work = (
        np.where(
            upper,
            _between(sizes.tail_moment, k, low, high, sizes.moment(k), tail=True),
            _between(sizes.partial_moment, k, low, high, sizes.moment(k), tail=False),
        )
        for k in (0, 1)
    )
    full = share > 0
    kept = np.flatnonzero(full)
    # Between two full classes the edge below the upper one still separates them.
    return edges[kept[1:] - 1], share[full], work[full] / share[full]


def _between(function, k, low, high, total, *, tail):
    at_low = np.where(np.isinf(low), total if tail else 0.0, function(k, np.where(np.isinf(low), 0.0, low)))
    at_high = np.where(
        np.isinf(high), 0.0 if tail else total, function(k, np.where(np.isinf(high), 0.0, high))
    )
    return at_low - at_high if tail else at_high - at_low


@dataclass(frozen=True, eq=False)
class Bucketed(Classes):
    """The class that a value falls into: the true size, or the true size times a noise."""

    noise: Noise | None = None

    @property
    def breakpoints(self):
        if self.noise is None:
            return tuple(self.edges)
        return tuple(sorted({edge / point for edge in self.edges for point in self.noise.breakpoints}))

    def probability(self, x):
        x = np.atleast_1d(floats(x))[:, None]
        if self.noise is None:
            below = (x <= self.edges).astype(float)
        else:
            with np.errstate(divide="ignore"):
                below = self.noise.cdf(self.edges / x)
        ends = np.zeros((len(x), 1))
        return np.diff(np.hstack((ends, below, ends + 1.0)))

    def fill(self, rng, sizes, out):
        if self.noise is None:
            judged = sizes
        else:
            self.noise.fill(rng, out)
            out *= sizes
            judged = out
        if len(self.edges) == 1:
            out[...] = np.where(judged <= self.edges[0], self.values[0], self.values[1])
        else:
            out[...] = self.values[np.searchsorted(self.edges, judged, side="left")]
