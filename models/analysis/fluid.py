"""Fluid limits of the power of d choices: n queues as n grows, as a law on the states of one queue.

Let pi be the share of queues in each state. An arrival of class k asks d queues and joins one of the lowest score,
so it joins a queue in state x at a rate that depends on pi: with G(s) the share of queues of score at least s and
G(s+) that of those above it, the queues of score s together receive the share G(s)^d - G(s+)^d of the arrivals of
class k, each of them

    load / mean size * P(k) * (G(s)^d - G(s+)^d) / (G(s) - G(s+)).

The fluid limit is the differential equation d pi / dt = pi Q(pi), with Q(pi) the moves of a queue that receives
arrivals at those rates (Vvedenskaya, Dobrushin and Karpelevich 1996 and Mitzenmacher 2001 for one class). The
stationary values below solve pi Q(pi) = 0. With exponential sizes by type the states are discrete and the equation
is exact; what is cut off, queues of more than `most` jobs, is enlarged until nothing changes. That the fixed point
is unique and attracts all starts is proved for one class and exponential sizes, and assumed elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from openqueues.models.analysis.fluid_laws import Types
from openqueues.models.analysis.fluid_states import Chain, with_preemption, without_preemption
from openqueues.models.errors import InputError, unknown
from openqueues.models.keeping import njit

Score = Callable[..., float]
SERVICES = {"fcfs": without_preemption, "spjf": without_preemption, "pspjf": with_preemption}
_LARGEST = 400_000  # states
_SWEEPS = 4000
_STILL = 1e-5  # of the goal: total change of the law in one sweep at which it is taken as settled


def power_of_d(load: float, d: int) -> float:
    """Mean response time of first come first served queues with exponential sizes of mean 1, fewest jobs of d asked.

    The sum over i >= 1 of load^((d^i - d)/(d - 1)), for d = 1 that of load^(i - 1).
    """
    if not 0 < load < 1 or d < 1:
        raise InputError(f"load is {load} and d is {d}: give a load above 0 and below 1, and d of at least 1.")
    if d == 1:
        return 1 / (1 - load)
    total, exponent, term = 0.0, 0.0, 1.0
    while term > 1e-18:
        total += term
        exponent = exponent * d + d
        term = load**exponent
    return total


@dataclass(frozen=True)
class MeanField:
    """A stationary fluid limit: mean response time, overall and by class, in the unit of the types' means.

    error: what a larger state space changed, and what may be left of the iteration. most: jobs at a queue that are
    kept; states: how many; lost: the share of arrivals that found a queue full.
    """

    mean_response: float
    by_class: np.ndarray
    error: float
    most: int
    states: int
    lost: float


class System:
    """The differential equation for queues of at most `most` jobs.

    score(count, same_class, shorter, longer): the dispatcher's score of a queue, for an arrival of the class in
    question; service: one of SERVICES. `fcfs` needs a score of the count alone.
    """

    def __init__(self, types: Types, load: float, d: int, service: str, score: Score, most: int):
        self.types = types
        self.d = d
        self.chain: Chain = SERVICES[service](types, most)
        counts = self.chain.counts
        self.rates = load / types.mean * types.class_shares
        self._levels = []
        for k in range(counts.shape[1]):
            columns = counts.sum(axis=1), counts[:, k], counts[:, :k].sum(axis=1), counts[:, k + 1 :].sum(axis=1)
            table, row = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
            scores = np.array(
                [
                    score(**dict(zip(("count", "same_class", "shorter", "longer"), map(float, line), strict=True)))
                    for line in table
                ]
            )
            levels, level = np.unique(scores, return_inverse=True)
            self._levels.append((len(levels), level[row.ravel()]))
        source, of_class, target, probability = self.chain.arrivals
        self._arrivals = _by_target(target, len(counts), source, of_class, probability)
        left, to, rate = self.chain.departures
        self._departures = _by_target(to, len(counts), left, rate)
        self._leaving = np.bincount(left, rate, len(counts))
        self._open = np.zeros(counts.shape)
        np.add.at(self._open, (source, of_class), probability)

    def start(self) -> np.ndarray:
        """All queues empty."""
        law = np.zeros(len(self.chain.counts))
        law[np.argmin(self.chain.counts.sum(axis=1))] = 1.0
        return law

    def arrival_rates(self, law: np.ndarray) -> np.ndarray:
        """Rate at which each queue receives arrivals of each class, (s, c)."""
        rates = np.empty(self.chain.counts.shape)
        for k, (number, level) in enumerate(self._levels):
            mass = np.bincount(level, law, number)
            above = np.concatenate((np.cumsum(mass[::-1])[::-1], [0.0]))
            # (a^d - b^d) / (a - b), without the division.
            each = sum(above[:-1] ** j * above[1:] ** (self.d - 1 - j) for j in range(self.d))
            rates[:, k] = self.rates[k] * each[level]
        return rates

    def drift(self, law: np.ndarray) -> np.ndarray:
        """d law / dt."""
        rates = self.arrival_rates(law)
        source, of_class, target, probability = self.chain.arrivals
        flow = law[source] * rates[source, of_class] * probability
        left, to, rate = self.chain.departures
        out = law[left] * rate
        n = len(law)
        return (
            np.bincount(target, flow, n)
            - np.bincount(source, flow, n)
            + np.bincount(to, out, n)
            - np.bincount(left, out, n)
        )

    def settle(self, law: np.ndarray, still: float) -> tuple[np.ndarray, float]:
        """(stationary law, what the last sweep changed): sweeps of Gauss and Seidel, the rates renewed after each.

        law: where to start, for the first of the states at least; still: the change at which to stop.
        """
        law = np.maximum(np.concatenate((law, np.zeros(len(self._leaving) - len(law)))), 1e-300)
        change = math.inf
        for _ in range(_SWEEPS):
            rates = self.arrival_rates(law)
            before = law.copy()
            out = self._leaving + (rates * self._open).sum(axis=1)
            _sweep(law, rates, out, *self._arrivals, *self._departures)
            law /= law.sum()
            change = float(np.abs(law - before).sum())
            if change < still:
                break
        return law, change

    def response(self, law: np.ndarray) -> tuple[float, np.ndarray, float]:
        """(mean response time, by class, share of arrivals lost) by Little's law."""
        rates = self.arrival_rates(law)
        entering = law @ (rates * self._open)
        lost = 1.0 - entering.sum() / self.rates.sum()
        present = law @ self.chain.counts
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(present.sum() / entering.sum()), present / entering, float(lost)


def mean_field(types: Types, load: float, d: int, service: str, score: Score, goal: float = 1e-9) -> MeanField:
    """The stationary fluid limit, with queues enlarged until the mean changes by less than `goal` of itself.

    Raises InputError for a load outside (0, 1), an unknown service, or fcfs with a score of more than the count.
    """
    if service not in SERVICES:
        raise unknown("service with a fluid limit", service, SERVICES)
    if not 0 < load < 1:
        raise InputError(f"load is {load}: the fluid limit needs a load above 0 and below 1.")
    if not isinstance(d, int) or d < 2:
        raise InputError(f"d is {d}: the fluid limit needs at least 2 queues to choose from.")
    if service == "fcfs":
        if _uses_classes(score):
            raise InputError("first come first served has a fluid limit here only for scores of the count alone.")
        types = types.merged()
    most, value, law = 6, math.inf, np.ones(1)
    while True:
        system = System(types, load, d, service, score, most)
        # The states of a smaller space are the first ones of a larger one.
        law, change = system.settle(law, _STILL * goal)
        mean, by_class, lost = system.response(law)
        error = abs(mean - value) + change * most / load
        states = len(law)
        if error <= goal * mean or states * (1 + 4 / most) ** len(types.values) > _LARGEST:
            return MeanField(mean, by_class, error, most, states, lost)
        value, most = mean, most + 4


def _uses_classes(score: Score) -> bool:
    same = [
        score(count=3.0, same_class=a, shorter=b, longer=3.0 - a - b) for a in (0.0, 1.0, 3.0) for b in (0.0, 3.0 - a)
    ]
    return len(set(same)) > 1


def _by_target(target, n, *columns):
    order = np.argsort(target, kind="stable")
    start = np.concatenate(([0], np.cumsum(np.bincount(target, minlength=n))))
    return start, *(np.ascontiguousarray(column[order]) for column in columns)


@njit(cache=True, nogil=True)
def _sweep(law, rates, out, a_start, a_source, a_class, a_probability, d_start, d_source, d_rate):
    """Set each state's share to what flows into it over the rate at which it is left: up the states, and down again."""
    n = law.size
    for step in range(2 * n):
        y = step if step < n else 2 * n - 1 - step
        flow = 0.0
        for e in range(a_start[y], a_start[y + 1]):
            flow += law[a_source[e]] * rates[a_source[e], a_class[e]] * a_probability[e]
        for e in range(d_start[y], d_start[y + 1]):
            flow += law[d_source[e]] * d_rate[e]
        law[y] = flow / out[y]
