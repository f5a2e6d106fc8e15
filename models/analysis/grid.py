"""Composite Gauss-Legendre quadrature on the positive axis, fitted to where a law has its mass.

The panels are intervals of log x (one more, linear, reaches down to 0), so a density that behaves like a
power of x near 0 is smooth on each. Running integrals and values between the nodes come from the Legendre
series of each panel, so they are as accurate as the quadrature itself.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

ORDERS = (10, 16)
"""Nodes per panel of the coarse and the fine rule; how far their answers differ is the error estimate."""


@lru_cache(maxsize=8)
def rule(order: int):
    """Nodes and weights on [-1, 1], the matrix of integrals from -1 to each node, and values -> series."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    values = np.polynomial.legendre.legvander(nodes, order)
    degree = np.arange(order)
    series = values[:, :order].T * weights * (degree + 0.5)[:, None]
    integrals = np.empty((order, order))
    integrals[:, 0] = nodes + 1
    integrals[:, 1:] = (values[:, 2:] - values[:, :-2]) / (2 * degree[1:] + 1)
    return nodes, weights, integrals @ series, series


class Grid:
    """Panels [0, e0], [e0, e1], ...; arrays of values at the nodes are flat, ascending in x.

    x are the nodes and weights those of an integral over dx from 0 to the last edge.
    """

    def __init__(self, edges: np.ndarray, order: int):
        nodes, weights, running, self._series = rule(order)
        self.edges = edges
        self.order = order
        self._logs = np.log(edges)
        half = 0.5 * np.diff(self._logs)[:, None]
        middle = 0.5 * (self._logs[1:] + self._logs[:-1])[:, None]
        above = np.exp(middle + half * nodes)
        first = 0.5 * edges[0] * (1 + nodes)
        self._scale = np.vstack((np.full(order, 0.5 * edges[0]), half * above))
        self._running = running.T.copy()
        self._rule_weights = weights
        self.x = np.concatenate((first, above.ravel()))
        self.weights = (self._scale * weights).ravel()

    def running(self, values: np.ndarray) -> np.ndarray:
        """Integrals of the values from 0 to each node."""
        inside, panel = self._parts(values)
        return (inside + (np.cumsum(panel) - panel)[:, None]).ravel()

    def remaining(self, values: np.ndarray) -> np.ndarray:
        """Integrals of the values from each node to the last edge, without subtracting from the total."""
        inside, panel = self._parts(values)
        after = np.cumsum(panel[::-1])[::-1]
        return (after[:, None] - inside).ravel()

    def _parts(self, values):
        scaled = values.reshape(-1, self.order) * self._scale
        return scaled @ self._running, scaled @ self._rule_weights

    def locate(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The panel of each point and its place in it, in [-1, 1]; points beyond the ends go to the ends."""
        at = np.clip(np.asarray(at, dtype=float), 0.0, self.edges[-1])
        panel = np.searchsorted(self.edges[:-1], at, side="right")
        low = self._logs[np.maximum(panel - 1, 0)]
        high = self._logs[np.minimum(np.maximum(panel, 1), len(self._logs) - 1)]
        logs = np.log(np.maximum(at, self.edges[0]))
        place = np.where(panel == 0, 2 * at / self.edges[0] - 1, (2 * logs - low - high) / (high - low))
        return panel, np.clip(place, -1.0, 1.0)

    def interpolate(self, values: np.ndarray, at: np.ndarray) -> np.ndarray:
        """The function with these values at the nodes, at other points."""
        shape = np.shape(at)
        panel, place = self.locate(np.ravel(at))
        series = values.reshape(-1, self.order) @ self._series.T
        terms = np.polynomial.legendre.legvander(place, self.order - 1)
        return np.einsum("ij,ij->i", series[panel], terms).reshape(shape)


def spread(pdf, cdf, support) -> tuple[np.ndarray, np.ndarray]:
    """Where a law with a density has its mass: points of log x and the mass near each, good to a few percent.

    The mass is relatively accurate far into both tails, as it is summed from the density. The distribution
    function helps to find a law so narrow that a coarse look at its density would miss it; a kernel without
    one may have no mass at all.
    """
    low, high = support
    if high <= low:
        return np.zeros(1), np.zeros(1)
    if low > 0 and np.isfinite(high):
        first, last = np.log(low), np.log(high)
    else:
        wide = np.linspace(-100.0, 60.0, 1601)
        if low > 0:
            wide = wide[wide > np.log(low)]
        if np.isfinite(high):
            wide = np.append(wide[wide < np.log(high)], np.log(high))
        x = np.exp(wide)
        with np.errstate(over="ignore", invalid="ignore"):
            height = np.nan_to_num(x * pdf(x))
            below = cdf(x) if cdf else np.zeros_like(x)
            square = np.nan_to_num(height * x**2)
        matters = (height > 1e-26) | (square > 1e-22 * square.max()) & (square > 0)
        full = np.flatnonzero(matters | ((below > 1e-16) & (below < 1 - 1e-15)))
        if cdf:
            full = np.append(full, np.argmax(below > 0.5))
        if not len(full):
            return np.zeros(1), np.zeros(1)
        first, last = wide[max(full.min() - 1, 0)], wide[min(full.max() + 1, len(wide) - 1)]
    ends = np.linspace(first, last, 801)
    logs = 0.5 * (ends[1:] + ends[:-1])
    x = np.exp(logs)
    mass = np.nan_to_num(x * pdf(x)) * (ends[1] - ends[0])
    return logs, mass / (mass.sum() or 1.0)


# Panels end where the tail has fallen by another factor of 10: a density that falls like exp(-x) is then
# resolved to full accuracy by 16 nodes, and so is 1/(1 - load below x), whose poles lie off the axis by
# about as much.
_LEFT = 10.0 ** np.array([-17, -14, -11, -9, -7, -5, -4, -3, -2, -1])
_BODY = np.array([0.3, 0.5, 0.7])
_RIGHT = 10.0 ** -np.arange(1.0, 20.0)


def panel_edges(logs, mass, breakpoints=(), widest=1.0) -> np.ndarray:
    """Edges of panels for a law given as by `spread`: breakpoints, levels of its tails, none too wide."""
    left = np.cumsum(mass)
    second = mass * np.exp(2 * (logs - logs.max()))
    right = np.maximum(np.cumsum(mass[::-1]), np.cumsum(second[::-1]) / second.sum())[::-1]
    tiny = 1e-300
    by_left = np.interp(np.log(np.append(_LEFT, _BODY)), np.log(left + tiny), logs)
    by_right = np.interp(-np.log(_RIGHT), -np.log(right + tiny), logs)
    fixed = np.unique(np.log([b for b in breakpoints if 0 < b < np.inf]))
    fixed = fixed[np.append(True, np.diff(fixed) > 1e-13)[: len(fixed)]]  # the same product rounded twice
    ends = [max(logs[0], by_left[0]), min(logs[-1], by_right[-1])]
    if len(fixed):
        ends = [min(ends[0], fixed.min()), max(ends[1], fixed.max())]
    levels = np.unique(np.concatenate((by_left, by_right, ends)))
    levels = levels[(levels >= ends[0]) & (levels <= ends[1])]
    edges = _thinned(levels, fixed, 0.02 * min(1.0, ends[1] - ends[0]))
    wide = np.where(edges[:-1] < by_left[6], max(3.5, widest), widest)
    parts = np.maximum(np.ceil(np.diff(edges) / wide), 1).astype(int)
    within = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    logs = np.repeat(edges[:-1], parts) + within * np.repeat(np.diff(edges) / parts, parts)
    return np.exp(np.append(logs, edges[-1]))


def _thinned(levels, fixed, least):
    """The union of both, without levels that lie nearer than `least` to a fixed point or to each other."""
    kept = [levels[0]] if not len(fixed) or np.abs(fixed - levels[0]).min() > least else []
    for level in levels[1:]:
        if kept and level - kept[-1] <= least:
            continue
        if len(fixed) and np.abs(fixed - level).min() <= least:
            continue
        kept.append(level)
    return np.unique(np.concatenate((kept, fixed)))


def halved(edges: np.ndarray) -> np.ndarray:
    """The same panels, each cut in two."""
    return np.sort(np.concatenate((edges, np.sqrt(edges[1:] * edges[:-1]))))
