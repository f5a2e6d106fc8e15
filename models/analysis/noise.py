"""Predictions with multiplicative noise: Y = S N, the factor N independent of the size S.

Every quantity is an integral over sizes, tabulated on a grid of y, or a running integral of such tables
over y:

    density p_k(y) = E[S^k; Y = y] = E[S^(k-1) h(y/S)], h the density of N
    over d(y)      = density of Y - S at y > 0            = E[h(1 + y/S) / S]
    A(y) = P(Y > y, S > Y - y)                            A' = d - p_0
    C(y) = E[(S - (Y-y))+; Y > y]                         C' = A - p_1
    R(y) = E[((S - (Y-y))+)^2; Y > y]                     R' = 2 C - p_2

Beyond all sizes these differences cancel ever more, by as much as predictions reach further than sizes: there
A, C and R are integrals of their own, with the kernels of `_far_tables`.

A is the density of ranks that a job passes while it is served under SPRPT, R its recycled work.
"""

from __future__ import annotations

import numpy as np
from openqueues.models.analysis.grid import ORDERS, Grid, halved, panel_edges, rule, spread
from openqueues.models.analysis.mixture import Mixture
from openqueues.models.analysis.ranking import Array, Ranking, Service
from openqueues.models.laws import Noise, SizeLaw
from openqueues.models.laws.noise import ExponentialNoise

_FAR = 8.0
"""Predictions beyond this multiple of the largest size and of the noise's last breakpoint are far."""
_MATTERS = 1e4
"""Predictions that reach no further than this multiple of the first far ones need no care: little cancels."""
_MOST_KINKS = 3000
"""More kinks than this (many atoms, a noise with breakpoints) are too weak to need panels of their own."""


class NoisyPredictions(Ranking):
    """Levels as for SizesWithDensity."""

    discrete = False

    def __init__(self, law: SizeLaw, noise: Noise, level: int):
        self.law, self.noise = law, noise
        self._mixture = Mixture(law, noise, level)
        self.grid = Grid(self._edges(level), ORDERS[min(level, 1)])
        self.points = self.grid.x
        self._density = self._integrals(self._pdf, noise.support, noise.breakpoints, (0, 1, 2))
        self.share = self._density[0] * self.grid.weights
        self.work = self._density[1] * self.grid.weights
        self.totals = np.stack(self._density) @ self.grid.weights
        self.before = self.upto = np.stack([self.grid.running(p) for p in self._density])

    def _edges(self, level):
        logs, mass = self._mixture.spread
        noise_logs, noise_mass = self._mixture.noise_spread
        sums = np.add.outer(logs, noise_logs).ravel()
        order = np.argsort(sums)
        points = {v for v in (*self.noise.breakpoints, *self.noise.support) if 0 < v < np.inf}
        # y/S at which a density above jumps: at v for p, v - 1 for d, 1 - v and 1/2 for bounced jobs.
        points |= {abs(v - 1) for v in points} | {0.5, *self._mixture.noise_edges}
        kinks = np.unique(np.multiply.outer(self._mixture.kinks, sorted(points)))
        kinks = kinks[kinks > 0] if len(kinks) <= _MOST_KINKS else ()
        edges = panel_edges(sums[order], np.multiply.outer(mass, noise_mass).ravel()[order], kinks)
        for _ in range(level - 1):
            edges = halved(edges)
        return edges

    def _pdf(self, v):
        """The noise's density for v >= 0."""
        return np.exp(-v) if isinstance(self.noise, ExponentialNoise) else self.noise.pdf(v)

    def _integrals(self, kernel, support, breaks, powers):
        return self._mixture.integrals(self.points, kernel, support, breaks, powers)

    def below(self, y, strictly=True):
        y = np.asarray(y, dtype=float)
        rows = [self.grid.interpolate(row, y) for row in self.upto]
        beyond = y > self.grid.edges[-1]
        return np.stack([np.where(beyond, t, row) for t, row in zip(self.totals, rows, strict=True)])

    def attained(self, rate, t):
        t = np.asarray(t, dtype=float)
        slope = 1 / (1 - rate * self.upto[1])
        beyond = np.maximum(t - self.grid.edges[-1], 0.0) / (1 - rate * self.law.mean)
        return self.grid.interpolate(self.grid.running(slope), t) + beyond

    def _over(self):
        """d(y) of the module's text."""
        if isinstance(self.noise, ExponentialNoise):
            return self._density[0] * np.exp(-1.0)  # h(1 + v) = h(v) / e
        breaks = [v - 1 for v in self.noise.breakpoints]
        support = (max(self.noise.support[0] - 1, 0.0), max(self.noise.support[1] - 1, 0.0))
        return self._integrals(lambda w: self.noise.pdf(1 + w), support, breaks, (0,))[0]

    def _far_tables(self):
        """A, C and R at the first far edge and at the nodes beyond it: an array (3, 1 + nodes), perhaps empty.

        Given S = s they are s^k times the integral of (1 - t)^k h(y/s + t) over 0 < t < 1, for k = 0, 1, 2.
        """
        if not hasattr(self, "_far"):
            last = max((1.0, *(v for v in (*self.noise.breakpoints, *self.noise.support) if v < np.inf)))
            edges = self.grid.edges
            panel = int(np.searchsorted(edges, _FAR * last * np.exp(self._mixture.spread[0].max())))
            if panel >= len(edges) - 1 or edges[-1] < _MATTERS * edges[panel] or self.noise.support[1] < np.inf:
                self._far = np.empty((3, 0))
                return self._far
            t, weights, _, _ = rule(6)  # h varies little between v and v + 1 when v is above _FAR
            t, weights = 0.5 * (1 + t), 0.5 * weights
            y = np.append(edges[panel], self.points[(panel + 1) * self.grid.order :])

            def kernel(k):
                def at(w):
                    return sum(c * (1 - u) ** k * self._pdf(w + u) for u, c in zip(t, weights, strict=True))

                return at

            rows = [self._mixture.integrals(y, kernel(k), self.noise.support, (), (k + 1,))[0] for k in range(3)]
            self._far = np.stack(rows)
        return self._far

    def _above(self, values, k):
        """Integrals of the values from each node upwards; far out, row k of `_far_tables` in their place."""
        far = self._far_tables()[k]
        if not len(far):
            return self.grid.remaining(values)
        nodes = len(self.points) - len(far) + 1
        near = np.append(values[:nodes], np.zeros(len(far) - 1))
        return np.append(self.grid.remaining(near)[:nodes] + far[0], far[1:])

    def falling(self):
        if not hasattr(self, "_falling"):
            p0, p1, p2 = self._density
            passing = self._above(p0 - self._over(), 0)
            recycled = self._above(p2 - 2 * self._above(p1 - passing, 1), 2)
            self._falling = passing, np.maximum(recycled, 0.0), self._late()
        passing, recycled, late = self._falling
        return Service(
            recycled=recycled,
            recycled_at=lambda y: self._beyond_zero(recycled, y),
            mean_residence=lambda rate: float((passing / (1 - rate * self.upto[1])) @ self.grid.weights + late),
            residence=self._fall,
        )

    def _beyond_zero(self, values, y):
        return np.where(y > self.grid.edges[-1], 0.0, self.grid.interpolate(values, y))

    def _late(self):
        """E[(S - Y)+] = E[S] E[(1 - N)+]."""
        if isinstance(self.noise, ExponentialNoise):
            return self.law.mean * np.exp(-1.0)
        low, high = self.noise.support
        if low >= 1:
            return 0.0
        points = sorted({v for v in (*self.noise.breakpoints, low) if 0 < v < 1} | {min(high, 1.0)})
        logs, mass = spread(self.noise.pdf, self.noise.cdf, self.noise.support)
        edges = panel_edges(logs, mass, points, 0.25)
        grid = Grid(edges[edges <= points[-1]], ORDERS[1])
        return self.law.mean * float((self.noise.pdf(grid.x) * (1 - grid.x)) @ grid.weights)

    def bounce(self):
        """Rank min(|y - a|, y): a job whose size x exceeds y bounces at rank 0 and rises to at most y.

        With D the density of S - Y at y > 0 where S < 2Y: a job of x <= y passes the ranks from y down
        to y - x; one of x < 2y those from y down to x - y and is then exposed to rank x - y for 2 (x - y) of
        service; a longer one is exposed to rank y all along. Recycled by a newcomer of rank z:
        min((S-(Y-z))+, 2z)^2.
        """
        if not hasattr(self, "_bounced"):
            self._bounced = self._bounce_tables()
        passing, risen, long, recycled = self._bounced
        y = self.points
        exposed = passing + 2 * y * risen + long
        return Service(
            recycled=recycled,
            recycled_at=lambda at: self._beyond_zero(recycled, at),
            mean_residence=lambda rate: float((exposed / (1 - rate * self.upto[1])) @ self.grid.weights),
            residence=lambda rate, x, at: bounced(self, rate, x, at),
        )

    def _bounce_tables(self):
        noise, y, remaining = self.noise, self.points, self.grid.remaining
        low, high = noise.support
        breaks = noise.breakpoints
        short = self._integrals(
            lambda v: np.where(v < 0.5, noise.pdf(v), 0.0), (min(low, 0.5), min(high, 0.5)), breaks, (0, 1, 2)
        )
        risen = self._integrals(
            lambda w: np.where(w < 0.5, noise.pdf(np.maximum(1 - w, 0.0)), 0.0),
            (min(max(1 - high, 0.0), 0.5), min(max(1 - low, 0.0), 0.5)),
            [1 - v for v in breaks],
            (0,),
        )[0]
        p0, p1, p2 = self._density
        near0, near1 = p0 - short[0], p1 - short[1]
        over = self._over()
        # A_b(y) = P(Y > y, |S - Y| < y): A_b' = d + D - E[1; Y = y, S < 2Y].
        passing = self._above(near0 - over - risen, 0)
        # B(y) = E[S - (Y-y); Y > y, |S - Y| < y], far(y) = P(Y > y, S - Y > y).
        part = self._above(near1 - passing - 2 * y * risen, 1)
        far = remaining(risen + short[0])
        # Where S > 2Y the part is 2y long: its square is 4 y^2, else the square of S.
        at_y = p2 - short[2] + 4 * y**2 * short[0]
        recycled = self._above(at_y - 8 * y * far - 2 * part, 2)
        return passing, risen, short[1], np.maximum(recycled, 0.0)


def bounced(ranking: Ranking, rate: float, x: Array, y: Array) -> Array:
    """Residence under the bounce rank of a job of size x predicted y."""
    late = np.clip(x - y, 0.0, y)
    fall = ranking.attained(rate, y) - ranking.attained(rate, np.where(x <= y, y - x, late))
    rise = 2 * late / (1 - rate * ranking.below(late)[1])
    whole = x / (1 - rate * ranking.below(y)[1])
    return np.where(x >= 2 * y, whole, np.where(x <= y, fall, fall + rise))
