"""Mean cost of M/G/1 policies that pay for predictions: SkipPredict, DelayPredict, and a share predicted at random.

In each, a job of size x meets one of a few fates, a `Branch`: it needs the server for A1(x) before everything, then
for A2(x) after that but before all predicted jobs, both first come first served; then what is left, A3(x), is
served by SPRPT, by its prediction Y less its age. A job that is not to be predicted stands at a fixed rank `level`
among the Y - age of the others. With A = A1 + A2, r the arrival rate, and everything by SOAP (Scully,
Harchol-Balter, Scheller-Wolf, 2018):

    ends in A1    r E[A1^2] / (2 (1 - r E[A1])) + A1
    ends in A2    r E[A^2] / (2 (1 - r E[A]) (1 - r E[A1])) + A / (1 - r E[A1])
    predicted y   r N(y) / (2 (1 - rho(y))^2) + A / (1 - rho(y)) + int_0^A3 da / (1 - rho(y - a))
    rho(y) = r (E[A] + E[A3; Y < y] + E[S; unpredicted] [y > level])
    N(y) = E[A^2] + E[2 A A3 + A3^2; Y < y] + E[((A3 - (Y - y))+)^2; Y > y] + E[S^2; unpredicted] [y > level]
    unpredicted   r (N(level) + E[S^2; unpredicted]) / (2 (1 - rho(level)) (1 - rho(level) - r E[S; unpredicted]))
                  + S / (1 - rho(level))

The source is Shahout and Mitzenmacher, SkipPredict (arXiv 2402.03564), for the policies and for the external and the
server-time model; the in-service model and the share are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from openqueues.models.analysis.grid import Grid, rule, spread
from openqueues.models.analysis.noise import NoisyPredictions
from openqueues.models.analysis.queue import Queue
from openqueues.models.analysis.ranking import Array, SizesWithDensity, size_edges
from openqueues.models.errors import InputError, unknown
from openqueues.models.laws import Noise
from openqueues.models.laws.noise import ExponentialNoise

MODELS = ("external", "server", "in-service")
_LEVELS = np.array([1e-10, 1e-6, 1e-3, 0.03, 0.2, 0.5, 0.8, 0.97, 1 - 1e-3, 1 - 1e-6])


@dataclass(frozen=True)
class Branch:
    """What may become of a job of size x: with probability chance(x) it needs first(x), then second(x).

    Beyond the size `offset` what is left, x - offset, is served by SPRPT, after `head` = first + second.
    """

    chance: Callable[[Array], Array]
    first: Callable[[Array], Array]
    second: Callable[[Array], Array]
    offset: float = np.inf
    head: float = 0.0


@dataclass(frozen=True)
class Plan:
    """The branches, sizes at which their functions are not smooth, what a job pays on average, and who pays not."""

    branches: Sequence[Branch]
    kinks: tuple[float, ...]
    price: float = 0.0
    unpredicted: float = 0.0
    level: float = np.inf


class Staged:
    """Mean cost of a plan; `order` nodes a panel, by default those of the queue's tables."""

    def __init__(self, queue: Queue, plan: Plan, order: int | None = None):
        self.queue, self.plan = queue, plan
        self.noise = noise_of(queue)
        order = order or queue.ranking.grid.order
        edges = _with(size_edges(queue.law, 1), plan.kinks)
        self._sizes = Grid(edges, order)
        self._branch = next((b for b in plan.branches if np.isfinite(b.offset)), None)
        marks = self._kinks()
        self.grid = Grid(_with(queue.ranking.grid.edges, (plan.level, *marks)), order)
        self._stages()
        if self.total_load >= 1 - 1e-9:
            raise InputError(
                f"with its predictions the server has the load {self.total_load:.4g}: make them cheaper or fewer."
            )
        self._tables()
        self.mean = self._mean()

    def _stages(self):
        plan, x = self.plan, self._sizes.x
        mass = self.queue.law.pdf(x) * self._sizes.weights * (1 - plan.unpredicted)
        self._first, self._both = np.zeros(2), np.zeros(2)
        self._top, self._middle = np.zeros(2), np.zeros(2)  # share and own service of those who end there
        self._third = 0.0
        for branch in plan.branches:
            m = mass * branch.chance(x)
            first, second = branch.first(x), branch.second(x)
            both = first + second
            self._first += m @ first, m @ first**2
            self._both += m @ both, m @ both**2
            ends = x <= branch.offset
            top = ends & (second == 0)
            self._top += m[top].sum(), m[top] @ first[top]
            middle = ends & (second > 0)
            self._middle += m[middle].sum(), m[middle] @ both[middle]
            self._third += m[~ends] @ (x[~ends] - branch.offset)
        self._plain = plan.unpredicted * np.array([1.0, self.queue.law.mean, self.queue.law.moment(2)])
        if plan.level == 0:
            self._first += self._plain[1:]
            self._both += self._plain[1:]
            self._top += self._plain[:2]
            self._plain = np.zeros(3)

    def _kinks(self):
        """Predictions at which the tables are not smooth: where a kink of the sizes meets one of the noise."""
        if self.noise is None or self._branch is None:
            return self.plan.kinks
        ends = (*self.noise.breakpoints, *self.noise.support)
        offset = self._branch.offset
        sizes = {*self.plan.kinks, offset}
        return {k * v for k in sizes for v in ends if v < np.inf} | {
            offset + k * (v - 1) for k in sizes for v in ends if v < np.inf
        }

    @property
    def total_load(self) -> float:
        """Load of the server, predictions included."""
        return self.queue.rate * float(self._both[0] + self._third + self._plain[1])

    def _tables(self):
        """At the points y: p_k = E[A3^k; Y = y, A3 > 0], passing = P(Y > y, A3 > Y - y), recycled, late."""
        y, grid = self.grid.x, self.grid
        if self._branch is None:
            self._p, self._passing, self._recycled, self._late = np.zeros((3, len(y))), 0 * y, 0 * y, 0.0
            return
        offset, share = self._branch.offset, 1 - self.plan.unpredicted
        if self.noise is None:
            mass = share * self.queue.law.pdf(y) * self._branch.chance(y) * (y > offset)
            part = np.maximum(y - offset, 0.0)
            self._p = np.stack([mass * part**k for k in range(3)])
            after = grid.remaining(mass)
            self._passing = np.where(y > offset, after, 0.0)
            self._recycled = part**2 * after
            self._late = 0.0
            return
        if isinstance(self.noise, ExponentialNoise):
            *self._p, under = share * self._exponential()
        else:
            self._p = share * self._integrals(lambda x: y[:, None] / x, lambda v: y[:, None] / v, (0, 1, 2))
            (under,) = share * self._integrals(
                lambda x: np.maximum(1 + (y[:, None] - offset) / x, 0.0),
                lambda v: (y[:, None] - offset) / np.where(v == 1, 1e-300, v - 1),
                (0,),
            )
        p0, p1, p2 = self._p
        self._passing = grid.remaining(p0 - under)
        self._recycled = np.maximum(grid.remaining(p2 - 2 * grid.remaining(p1 - self._passing)), 0.0)
        self._late = max(self._third - float(self._passing @ grid.weights), 0.0)

    def _exponential(self):
        """p_0, p_1, p_2 and the density of Y - A3, for exponential noise: h(y/x + a) = h(y/x) exp(-a)."""
        x, offset = self._sizes.x, self._branch.offset
        mass = self.queue.law.pdf(x) * self._branch.chance(x) * self._sizes.weights / x * (x > offset)
        part = np.maximum(x - offset, 0.0)
        columns = np.stack([mass, mass * part, mass * part**2, mass * np.exp(-part / x)], axis=1)
        return (_decay(self.grid.x.tobytes(), x.tobytes()) @ columns).T

    def _integrals(self, argument, cut, powers):
        """Rows E[A3^k h(argument(S)) / S] over jobs with A3 > 0, h the density of the noise.

        `cut(v)` are the sizes at which the argument is v: there panels end where h is not smooth.
        """
        branch, law, marks = self._branch, self.queue.law, _marks(self.noise)
        edges = self._sizes.edges
        cuts = np.clip(cut(marks), edges[0], edges[-1])
        every = np.broadcast_to(edges, (len(cuts), len(edges)))
        x, weight = _nodes(np.sort(np.concatenate((every, cuts), axis=1), axis=1), self._sizes.order)
        mass = law.pdf(x) * branch.chance(x) * weight / x * (x > branch.offset)
        part = np.maximum(x - branch.offset, 0.0)
        mass *= self.noise.pdf(argument(x))
        return np.stack([(mass * part**k).sum(axis=1) for k in powers])

    def _mean(self):
        rate, grid, plan, plain = self.queue.rate, self.grid, self.plan, self._plain
        p0, p1, p2 = self._p
        head = self._branch.head if self._branch else 0.0
        above = grid.x > plan.level
        work = grid.running(p1)
        squares = grid.running(2 * head * p1 + p2)
        rho = rate * (self._both[0] + work + plain[1] * above)
        number = self._both[1] + squares + self._recycled + plain[2] * above
        self._slope = 1 / (1 - rho)
        self._wait = 0.5 * rate * number * self._slope**2 + head * self._slope
        self._free = 1 / (1 - rate * self._both[0])
        free_first = 1 / (1 - rate * self._first[0])
        self._top_wait = 0.5 * rate * self._first[1] * free_first
        self._middle_wait = 0.5 * rate * self._both[1] * self._free * free_first
        self._middle_stretch = free_first
        total = self._top[0] * self._top_wait + self._top[1]
        total += self._middle[0] * self._middle_wait + self._middle[1] * free_first
        total += (p0 * grid.weights) @ self._wait + (self._passing * grid.weights) @ self._slope
        total += self._late * self._free
        if plain[0]:
            if plan.level < grid.edges[-1]:
                at = [float(grid.interpolate(row, plan.level)) for row in (work, squares + self._recycled)]
            else:
                at = [float(row @ grid.weights) for row in (p1, 2 * head * p1 + p2)]
            new = rate * (self._both[0] + at[0])
            wait = 0.5 * rate * (self._both[1] + at[1] + plain[2]) / ((1 - new) * (1 - new - rate * plain[1]))
            total += plain[0] * wait + plain[1] / (1 - new)
        return float(total) + plan.price

    def given(self, x: Array, y: Array) -> Array:
        """Mean cost of a job of size x and prediction y that is to be predicted, over its cheap predictions."""
        answer = np.zeros(np.broadcast(x, y).shape)
        attained = self.grid.running(self._slope)
        last = self.grid.edges[-1]

        def served(t):
            return self.grid.interpolate(attained, t) + np.maximum(t - last, 0.0) * self._slope[-1]

        for branch in self.plan.branches:
            first, both = branch.first(x), branch.first(x) + branch.second(x)
            top = self._top_wait + first
            middle = self._middle_wait + both * self._middle_stretch
            left = np.maximum(x - branch.offset, 0.0) if np.isfinite(branch.offset) else np.zeros_like(x)
            third = self.grid.interpolate(self._wait, y) + np.maximum(left - y, 0.0) * self._free
            third = third + served(y) - served(np.maximum(y - left, 0.0))
            ends = np.where(branch.second(x) == 0, top, middle)
            answer = answer + branch.chance(x) * np.where(x <= branch.offset, ends, third)
        return answer + self.plan.price


def noise_of(queue: Queue) -> Noise | None:
    """The noise of the predictions, None for exact ones; InputError for laws that are not analysed here."""
    ranking = queue.ranking
    if isinstance(ranking, NoisyPredictions) and queue.law.atoms is None:
        return ranking.noise
    if isinstance(ranking, SizesWithDensity):
        return None
    raise InputError(
        "costs of predictions are analysed for sizes with a density and predictions that are exact or a noise: "
        "simulate other laws."
    )


@lru_cache(maxsize=32)
def _marks(noise: Noise) -> Array:
    """Values of the noise near which its density must be resolved."""
    logs, mass = spread(noise.pdf, noise.cdf, noise.support)
    inner = np.exp(np.interp(_LEVELS, np.cumsum(mass), logs))
    fixed = [v for v in (*noise.breakpoints, *noise.support) if 0 < v < np.inf]
    return np.unique(np.concatenate((inner, fixed)))


@lru_cache(maxsize=4)
def _decay(y: bytes, x: bytes) -> Array:
    """exp(-y/x); the search for the best threshold asks for the same points again and again."""
    return np.exp(-np.divide.outer(np.frombuffer(y), np.frombuffer(x)))


def _with(edges, points):
    inside = [p for p in points if edges[0] < p < edges[-1]]
    return np.union1d(edges, inside)


def _nodes(edges, order):
    """Nodes and weights of panels in log x whose edges are the rows."""
    nodes, weights, _, _ = rule(order)
    logs = np.log(edges)
    half = 0.5 * np.diff(logs, axis=1)[..., None]
    x = np.exp(0.5 * (logs[:, 1:] + logs[:, :-1])[..., None] + half * nodes)
    return x.reshape(len(edges), -1), (x * half * weights).reshape(len(edges), -1)


def _checked(what: str, value: float, finite: bool = True, positive: bool = False) -> float:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or np.isnan(value) or value < 0 or (finite and np.isinf(value)) or (positive and value == 0):
        bound = "above 0" if positive else "of at least 0"
        raise InputError(f"{what} is {value}: it must be a {'finite ' if finite else ''}number {bound}.")
    return float(value)


def checked_costs(model: str, window: float, **costs: float) -> None:
    """InputError unless model, window and costs are possible."""
    if model not in MODELS:
        raise unknown("model of costs", str(model), MODELS)
    _checked("window", window, positive=True)
    for name, cost in costs.items():
        _checked(name, cost)
