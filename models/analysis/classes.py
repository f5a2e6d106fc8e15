"""Predictions that take finitely many values: sums over classes of integrals over sizes."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from openqueues.models.analysis.grid import ORDERS, Grid, spread
from openqueues.models.analysis.noise import bounced
from openqueues.models.analysis.ranking import Discrete, Service, size_edges
from openqueues.models.laws import Classes, SizeLaw
from openqueues.models.laws.classes import Margin


class ClassPredictions(Discrete):
    """Levels as for SizesWithDensity; a discrete law of sizes needs none, its integrals are sums."""

    def __init__(self, law: SizeLaw, classes: Classes, level: int):
        self._law, self._classes, self._order = law, classes, ORDERS[min(level, 1)]
        if law.atoms is None:
            edges = size_edges(law, level, _widest(classes))
            kinks = _within((*classes.breakpoints, *classes.edges), edges)
            self._edges = np.union1d(edges, kinks)
        values = np.asarray(classes.values, dtype=float)
        x, mass = self._nodes(())
        weight = self._chance(x) * mass[:, None]
        super().__init__(values, np.stack([weight.sum(axis=0), x @ weight, x**2 @ weight]))

    def _nodes(self, cuts):
        """Sizes and their probabilities, with panels that end at `cuts`."""
        if self._law.atoms is not None:
            return self._law.atoms
        grid = Grid(np.union1d(self._edges, _within(cuts, self._edges)), self._order)
        return grid.x, self._law.pdf(grid.x) * grid.weights

    def _chance(self, x):
        return self._classes.probability(x)

    @cached_property
    def _by_class(self):
        """(first place of each class, classes, sizes, their probabilities), class after class.

        Panels end at the kinks of the integrands.
        """
        tables = []
        for index, own in enumerate(self.points):
            x, mass = self._nodes(np.concatenate((np.abs(own - self.points), own + self.points)))
            mass = mass * self._chance(x)[:, index]
            tables.append((np.full(np.count_nonzero(mass > 0), own), x[mass > 0], mass[mass > 0]))
        first = np.cumsum([0, *(len(table[0]) for table in tables)])
        return first, *(np.concatenate(parts) for parts in zip(*tables, strict=True))

    def falling(self):
        return self._service(lambda part, y: part, self._fall)

    def bounce(self):
        """A job of larger class is served at rank at most y while its age is within y of its prediction."""
        return self._service(lambda part, y: np.minimum(part, 2 * y), lambda rate, x, y: bounced(self, rate, x, y))

    def _service(self, recycled_part, residence):
        def recycled_at(y):
            y = np.asarray(y, dtype=float)
            flat = [self._recycled(value, recycled_part) for value in y.ravel()]
            return np.reshape(flat, y.shape)

        def mean_residence(rate):
            _, y, x, mass = self._by_class
            return float(residence(rate, x, y) @ mass)

        return Service(recycled_at(self.points), recycled_at, mean_residence, residence)

    def _recycled(self, y, recycled_part):
        """E of the squared part that a job of a larger class leaves once its rank has come down to y."""
        first, own, x, mass = self._by_class
        above = first[np.searchsorted(self.points, y, side="right")]
        left = np.maximum(x[above:] - (own[above:] - y), 0.0)
        return recycled_part(left, y) ** 2 @ mass[above:]


def _widest(classes):
    """Panels must resolve how the chance of a class changes with log size: noise and margin may be narrow."""
    if isinstance(classes, Margin):
        return min(1.0, 4 * classes.scale)
    noise = getattr(classes, "noise", None)
    if noise is None or noise.breakpoints:
        return 1.0
    logs, mass = spread(noise.pdf, noise.cdf, noise.support)
    return float(np.clip(2 * np.sqrt(mass @ (logs - mass @ logs) ** 2), 0.01, 1.0))


def _within(points, edges):
    points = np.asarray(points, dtype=float)
    return points[(points > edges[0]) & (points < edges[-1])]
