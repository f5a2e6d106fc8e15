"""Predictions that name one of a few classes of sizes: their law given the true size, and drawing them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from openqueues.models.laws.base import SizeLaw, floats
from openqueues.models.laws.noise import Noise


@dataclass(frozen=True, eq=False)
class Classes:
    """A prediction that takes one of finitely many values.

    Class i holds the true sizes from edges[i-1] up to but not including edges[i], as a policy calls a job
    short when `size < threshold`. It is announced by `values[i]`, the mean size of the jobs that truly belong
    to it, so that a policy's threshold at an edge reads the announced values right.
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
        return np.searchsorted(self.edges, floats(x), side="right")


def partition(sizes: SizeLaw, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(edges, shares, mean sizes) of the classes that `edges` cut the sizes into, empty classes dropped.

    Means come from tail moments beyond the median and partial moments below it, so that neither end loses
    digits to cancellation.
    """
    edges = np.unique(floats(edges))
    # P(S < edge) and not P(S <= edge): they differ for discrete sizes.
    below = np.nextafter(edges, -np.inf)
    upper = np.concatenate(([False], sizes.cdf(below) > 0.5))
    share, work = (np.where(upper, _from_above(sizes, k, below), _from_below(sizes, k, below)) for k in (0, 1))
    full = share > 0
    kept = np.flatnonzero(full)
    # Between two full classes the edge below the upper one still separates them.
    return edges[kept[1:] - 1], share[full], work[full] / share[full]


def _from_below(sizes, k, cuts):
    return np.diff(np.concatenate(([0.0], sizes.partial_moment(k, cuts), [sizes.moment(k)])))


def _from_above(sizes, k, cuts):
    return -np.diff(np.concatenate(([sizes.moment(k)], sizes.tail_moment(k, cuts), [0.0])))


def equal_shares(sizes: SizeLaw, upto: np.ndarray) -> np.ndarray:
    """Edges of the classes that hold the smallest `upto[0]`, up to `upto[1]`, ... of all jobs.

    A value of a discrete law belongs whole to one class, the first that it reaches, so shares are as near as
    its values allow.
    """
    edges = sizes.ppf(upto)
    return edges if sizes.atoms is None else np.nextafter(edges, np.inf)


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
            below = (x < self.edges).astype(float)
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
        if len(self.edges) == 0:
            out[...] = self.values[0]
        elif len(self.edges) == 1:
            out[...] = np.where(judged < self.edges[0], self.values[0], self.values[1])
        else:
            out[...] = self.values[np.searchsorted(self.edges, judged, side="right")]


@dataclass(frozen=True, eq=False)
class Confused(Classes):
    """The true class seen through a confusion table: table[i, j] = P(announced j | truly i)."""

    table: np.ndarray

    def probability(self, x):
        return self.table[self.true_class(np.atleast_1d(x))]

    def fill(self, rng, sizes, out):
        rng.random(out=out)
        announce(self.values, self.table[:, :-1].cumsum(axis=1), self.true_class(sizes), out)


def announce(values: np.ndarray, upto: np.ndarray, row: np.ndarray, out: np.ndarray) -> None:
    """Turn the uniforms in `out` into announced values.

    Job i draws from the cumulative distribution `upto[row[i]]`, whose last entry, 1, is left out.
    """
    announced = np.zeros(len(out), dtype=np.int64)
    for column in upto.T:
        announced += out >= column[row]
    np.take(values, announced, out=out)


@dataclass(frozen=True, eq=False)
class Margin(Classes):
    """Two classes, told apart the worse the nearer the size x is to the threshold T.

    P(announced long | x) = 1 / (1 + (T/x)^(1/scale)): the logistic model in log x. So the error probability
    is 1/2 at the threshold and falls as 1 / (1 + exp(|log(x/T)| / scale)).
    """

    scale: float

    def _odds(self, x):
        """P(short | x) / P(long | x); infinity for x = 0."""
        with np.errstate(divide="ignore", over="ignore"):
            return (self.edges[0] / x) ** (1 / self.scale)

    def probability(self, x):
        odds = self._odds(np.atleast_1d(floats(x)))
        with np.errstate(divide="ignore", over="ignore"):
            return np.stack((1 / (1 + 1 / odds), 1 / (1 + odds)), axis=1)

    def fill(self, rng, sizes, out):
        rng.random(out=out)
        out[...] = np.where(out < 1 / (1 + self._odds(sizes)), self.values[1], self.values[0])
