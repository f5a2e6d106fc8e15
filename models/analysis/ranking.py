"""Jobs ordered by a number known on arrival (size or prediction): the moments that every rank policy needs.

A `Ranking` says, for the law of (size S, order Y): how probable the orders are, how much work stands before
an order, and, for ranks that fall as the job is served, what recycled work and what residence cost.
Formulas are those of SOAP (Scully, Harchol-Balter and Scheller-Wolf, 2018): a job that is already there
delays a newcomer of rank r while its own rank is at most r, a later one only while its rank is below; ties
are first come first served.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from openqueues.models.analysis.grid import ORDERS, Grid, halved, panel_edges, spread
from openqueues.models.laws import SizeLaw

Array = np.ndarray


@dataclass(frozen=True)
class Service:
    """What a rank that changes with age adds to an order known on arrival.

    recycled: E[square of the part of a job of larger order that is served at rank at most y], at the points.
    recycled_at(y): the same at any y. mean_residence(rate): the mean time from first service to completion.
    residence(rate, x, y): the same given size x and order y.
    """

    recycled: Array
    recycled_at: Callable[[Array], Array]
    mean_residence: Callable[[float], float]
    residence: Callable[[float, Array, Array], Array]


class Ranking:
    """Base of the four kinds: sizes with a density or atoms, predictions with noise or in classes.

    points: orders y, ascending. share: probability of each (or density times quadrature weight).
    work: E[S; Y = y] likewise. before and upto: arrays (3, n) of E[S^k; Y < y] and E[S^k; Y <= y],
    k = 0, 1, 2.
    totals: sums of the table that would be 1, E[S], E[S^2] if the quadrature were exact.
    """

    points: Array
    share: Array
    work: Array
    before: Array
    upto: Array
    totals: Array
    discrete: bool

    def below(self, y, strictly: bool = True) -> Array:
        """E[S^k; Y < y] (or <=) for k = 0, 1, 2 at any y: array (3, *shape of y)."""
        raise NotImplementedError

    def attained(self, rate: float, t: Array) -> Array:
        """The integral from 0 to t of du / (1 - load of orders below u)."""
        raise NotImplementedError

    def defect(self, law: SizeLaw) -> tuple[float, float, float]:
        """Relative errors of the table's totals: of probability, E[S] and E[S^2], which are known exactly."""
        exact = (1.0, law.mean, law.moment(2))
        return tuple(abs(float(got) / total - 1) for got, total in zip(self.totals, exact, strict=True))

    def falling(self) -> Service:
        """The rank is order minus age, as in SRPT and SPRPT."""
        raise NotImplementedError

    def bounce(self) -> Service:
        """The rank is min(|order - age|, order); for exact predictions the same as `falling`."""
        return self.falling()

    def _fall(self, rate, x, y):
        """Residence when the rank falls from y to y - x; below rank 0 nothing interrupts."""
        over = np.maximum(x - y, 0.0)
        return self.attained(rate, y) - self.attained(rate, np.maximum(y - x, 0.0)) + over


class SizesWithDensity(Ranking):
    """Sizes with a density. Level 0 is the coarse rule, 1 the fine one; further levels halve the panels."""

    discrete = False

    def __init__(self, law: SizeLaw, level: int):
        self.law = law
        self.grid = Grid(size_edges(law, level), ORDERS[min(level, 1)])
        self.points = x = self.grid.x
        self.density = law.pdf(x)
        self.share = self.density * self.grid.weights
        self.work = self.share * x
        self.totals = np.array([self.share.sum(), self.work.sum(), self.work @ x])
        self.before = self.upto = self.below(x)
        self.tail = law.sf(x)

    def below(self, y, strictly=True):
        y = np.asarray(y, dtype=float)
        top = np.isinf(y)
        y = np.where(top, 0.0, y)
        rows = [self.law.cdf(y), self.law.partial_moment(1, y), self.law.partial_moment(2, y)]
        totals = [1.0, self.law.mean, self.law.moment(2)]
        return np.stack([np.where(top, total, row) for total, row in zip(totals, rows, strict=True)])

    def attained(self, rate, t):
        slope = 1 / (1 - rate * self.upto[1])
        t = np.asarray(t, dtype=float)
        top = self.grid.edges[-1]
        beyond = np.maximum(t - top, 0.0) / (1 - rate * self.law.mean)
        return self.grid.interpolate(self.grid.running(slope), t) + beyond

    def falling(self):
        return Service(
            recycled=self.points**2 * self.tail,
            recycled_at=lambda y: y**2 * self.law.sf(y),
            mean_residence=lambda rate: float((self.tail / (1 - rate * self.upto[1])) @ self.grid.weights),
            residence=self._fall,
        )


def size_edges(law: SizeLaw, level: int, widest: float = 1.0) -> Array:
    """Panels for a law of sizes with a density; its support and the kinks of its density are edges."""
    edges = _panels(law, widest)
    for _ in range(level - 1):
        edges = halved(edges)
    return edges


@lru_cache(maxsize=64)
def _panels(law: SizeLaw, widest: float) -> Array:
    """Found once for all levels: looking for where the law has its mass takes most of a number's time."""
    return panel_edges(*spread(law.pdf, law.cdf, law.support), (*law.support, *law.breakpoints), widest)


class Discrete(Ranking):
    """Orders with finitely many values y: `moments` (3, n) are E[S^k; Y = y] for k = 0, 1, 2."""

    discrete = True

    def __init__(self, points: Array, moments: Array):
        self.points = points
        self.share, self.work = moments[0], moments[1]
        self._cumulative = np.concatenate((np.zeros((3, 1)), np.cumsum(moments, axis=1)), axis=1)
        self.before, self.upto = self._cumulative[:, :-1], self._cumulative[:, 1:]
        self.totals = self._cumulative[:, -1]

    def below(self, y, strictly=True):
        return self._cumulative[:, np.searchsorted(self.points, y, side="left" if strictly else "right")]

    def attained(self, rate, t):
        # Below the smallest order nothing interrupts; between two orders the load below is constant.
        slope = 1 / (1 - rate * self._cumulative[1])
        at_points = np.cumsum(slope[:-1] * np.diff(self.points, prepend=0.0))
        t = np.asarray(t, dtype=float)
        index = np.searchsorted(self.points, t, side="left")
        base = np.append(0.0, self.points)[index]
        return np.append(0.0, at_points)[index] + (t - base) * slope[index]


class SizeAtoms(Discrete):
    """A discrete law of sizes."""

    def __init__(self, law: SizeLaw):
        x, weight = law.atoms
        super().__init__(x, np.stack([weight, weight * x, weight * x**2]))

    def falling(self):
        def tail(y):
            return np.maximum(1 - self.below(y, strictly=False)[0], 0.0)

        return Service(
            recycled=self.points**2 * tail(self.points),
            recycled_at=lambda y: y**2 * tail(y),
            mean_residence=lambda rate: float(self.share @ self.attained(rate, self.points)),
            residence=self._fall,
        )
