"""Integrals E[S^(k-1) K(y/S)] for many y at once, for any law of the size S and any kernel K.

The kernel is a density of multiplicative noise, shifted or cut: it may jump at known places. With a density
of sizes there are two ways, equal in value: over panels of size, or, for noise so narrow that panels of
size would have to be many, over panels of the kernel's own argument w = y/S. Whichever is chosen, one
function is smooth on the panels, and panels in which the other jumps are integrated anew in pieces.
"""

from __future__ import annotations

import numpy as np
from openqueues.models.analysis.grid import ORDERS, Grid, halved, panel_edges, rule, spread
from openqueues.models.laws import Noise, SizeLaw

_NARROW = 0.5
"""Standard deviation of log N below which integrals run over the noise, not over the sizes."""
_FEW_ATOMS = 30


class Mixture:
    """The law of sizes and the resolution; `kinks` are sizes at which the size law jumps."""

    def __init__(self, law: SizeLaw, noise: Noise, level: int):
        self._law, self._level = law, level
        self._order = ORDERS[min(level, 1)]
        logs, mass = spread(noise.pdf, noise.cdf, noise.support)
        self.noise_spread = gathered(logs, mass, 60)
        width = np.sqrt(mass @ (logs - mass @ logs) ** 2)
        self._narrow = width < _NARROW and not noise.breakpoints
        if law.atoms is not None:
            self._x, self._weight = law.atoms
            self.kinks = self._x
            logs_x = np.log(self._x)
            self.spread = gathered(logs_x, self._weight, 200)
            # Around each atom the prediction's density is that of the noise: resolve it there.
            few = len(self._x) <= _FEW_ATOMS
            self.noise_edges = panel_edges(logs, mass, noise.breakpoints) if few else ()
            return
        self.noise_edges = ()
        self.kinks = np.array([b for b in (*law.support, *law.breakpoints) if 0 < b < np.inf])
        logs, mass = spread(law.pdf, law.cdf, law.support)
        self.spread = gathered(logs, mass, 100)
        if not self._narrow:
            widest = 1.0 if noise.breakpoints else min(1.0, 2 * width)
            edges = self._refined(panel_edges(logs, mass, (*law.support, *law.breakpoints), widest))
            self._over_sizes = _Fixed(edges, self._order, law.pdf)

    def _refined(self, edges):
        for _ in range(self._level - 1):
            edges = halved(edges)
        return edges

    def integrals(self, y, kernel, support, breaks, powers):
        """Rows E[S^(k-1) kernel(y/S)], k in powers; the kernel is 0 outside `support`, jumps at `breaks`."""
        inside = sorted({b for b in (*breaks, *support) if 0 < b < np.inf})
        if self._law.atoms is not None:
            return self._sums(y, kernel, powers)
        if not self._narrow:
            return self._over_sizes.integrals(y, kernel, inside, [k - 1 for k in powers])
        logs, mass = spread(kernel, None, support)
        if not mass.any():
            return np.zeros((len(powers), len(y)))
        # With S = y/w the integral is y^k times that of kernel(w) w^(-k-1) f(y/w) over w.
        own = _Fixed(self._refined(panel_edges(logs, mass, inside)), self._order, kernel)
        rows = own.integrals(y, self._law.pdf, list(self.kinks), [-k - 1 for k in powers])
        return np.stack([y**k * row for k, row in zip(powers, rows, strict=True)])

    def _sums(self, y, kernel, powers):
        weights = np.stack([self._weight * self._x ** (k - 1.0) for k in powers], axis=1)
        return np.concatenate([kernel(v) @ weights for v in _quotients(y, self._x)]).T


class _Fixed:
    """Integrals of fixed(x) x^e other(y/x) over x, on panels of x on which `fixed` is smooth."""

    def __init__(self, edges, order, fixed):
        grid = Grid(edges, order)
        self._edges, self._order, self._fixed = edges, order, fixed
        self._x = grid.x
        self._mass = fixed(grid.x) * grid.weights

    def integrals(self, y, other, breaks, exponents):
        """One row for each exponent e; `other` jumps where its argument is in `breaks`."""
        weights = np.stack([self._mass * self._x ** float(e) for e in exponents], axis=1)
        cuts = np.sort(y[:, None] / np.array(breaks), axis=1).reshape(len(y), len(breaks))
        panel = np.searchsorted(self._edges, cuts)  # panel p ends at edge p; panel 0 is [0, first edge]
        rows, column = np.nonzero((panel > 0) & (panel < len(self._edges)))
        panel_of = panel[rows, column]
        parts, start = [], 0
        for v in _quotients(y, self._x):
            values = other(v)
            here = slice(*np.searchsorted(rows, (start, start + len(v))))
            values.reshape(len(v), -1, self._order)[rows[here] - start, panel_of[here]] = 0.0
            parts.append(values @ weights)
            start += len(v)
        answer = np.concatenate(parts).T
        if not len(rows):
            return answer
        # One integral in pieces for each (y, panel with a jump): several jumps may share a panel.
        first = np.ones(len(rows), bool)
        first[1:] = (rows[1:] != rows[:-1]) | (panel_of[1:] != panel_of[:-1])
        rows, panel_of = rows[first], panel_of[first]
        low, high = np.log(self._edges[panel_of - 1]), np.log(self._edges[panel_of])
        ends = np.clip(np.log(cuts[rows]), low[:, None], high[:, None])
        ends = np.concatenate((low[:, None], ends, high[:, None]), axis=1)
        nodes, node_weights, _, _ = rule(self._order)
        half = 0.5 * np.diff(ends, axis=1)[..., None]
        at = np.exp(0.5 * (ends[:, 1:] + ends[:, :-1])[..., None] + half * nodes)
        mass = self._fixed(at) * at * half * node_weights * other(y[rows, None, None] / at)
        for row, e in zip(answer, exponents, strict=True):
            row += np.bincount(rows, (mass * at ** float(e)).sum(axis=(1, 2)), len(y))
        return answer


def _quotients(y, x):
    """All y/x, some rows of y at a time: arrays that fit the processor's cache are evaluated much faster."""
    rows = max(1, 40_000 // len(x))
    inverse = 1 / x
    for start in range(0, len(y), rows):
        yield np.multiply.outer(y[start : start + rows], inverse)


def gathered(logs, mass, parts):
    """The same mass at about `parts` points: neighbours are put together, but both ends stay."""
    if len(logs) <= parts:
        return logs, mass
    starts = np.linspace(1, len(logs) - 1, parts, endpoint=False).round().astype(int)
    starts = np.unique(np.concatenate(([0], starts, [len(logs) - 1])))
    counts = np.diff(np.append(starts, len(logs)))
    return np.add.reduceat(logs, starts) / counts, np.add.reduceat(mass, starts)
