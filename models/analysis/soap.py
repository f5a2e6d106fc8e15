"""Mean response time under any rank: a function of what the policy is told of a job and of the job's age.

SOAP (Scully, Harchol-Balter and Scheller-Wolf, 2018). A job of size x is delayed according to the worst rank
that it still has to pass: w(a), the largest rank between the ages a and x. With r = w(0),

    E[T] = rate/2 * sum_i E[X_i(r)^2] / ((1 - rate E[X_0(r)]) (1 - rate E[N(r)]))
           + the integral from 0 to x of da / (1 - rate E[N(w(a))]).

X_i(r) is the service that a job gets in the i-th range of ages with rank at most r: what one that was there
before may be given first; X_0 is that of the range that begins at age 0, if it does. N(r) is the service that
a later job gets until its rank reaches r. Among equal ranks the first come is served first; with `newest`
the last come, and then X_i counts ranks below r only and N(r) runs until the rank exceeds r.

The formula is evaluated on tables: cells of what the policy is told, ages, and levels of rank, with the rank
linear in age between knots. All errors are of second order in the steps, so two resolutions give a better
value and an estimate of its error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from openqueues.models.analysis.queue import Queue, Response
from openqueues.models.analysis.soap_jobs import TOLD, Cells, cells, jobs
from openqueues.models.errors import InputError, unknown
from openqueues.models.laws import JointLaw

Array = np.ndarray
_COUNTS = ((400, 100, 800), (800, 200, 1600))
"""Cells, ages and levels of the two resolutions."""

_FEW = 16
"""With at most so many classes ages and levels cost little."""


@dataclass(frozen=True)
class Rank:
    """A rank function.

    told: nothing, prediction, size or both. rank(size, predicted, age): arrays that broadcast; a number, or a
    tuple (first, second) of which the second decides among equal firsts; the firsts must be few.
    knots(size, predicted): ages (n, k) at which the rank jumps or bends, infinite where there are fewer.
    newest: the last come goes first among equal ranks, and preempts.
    breaks: predictions (or sizes, where it is told these) at which the rank jumps, as a threshold does.
    """

    rank: Callable[[Array, Array, Array], Any]
    told: str = "prediction"
    knots: Callable[[Array, Array], Array] | None = None
    newest: bool = False
    breaks: tuple[float, ...] = ()


class Tables:
    """What one resolution (0 or 1) knows of a law and a rank: everything but the arrival rate."""

    def __init__(self, joint: JointLaw, rank: Rank, level: int):
        if rank.told not in TOLD:
            raise unknown("what a rank is told", rank.told, TOLD)
        self.law, self.rank, self.told = joint.sizes, rank, rank.told
        count, ages, levels = _COUNTS[level]
        found = cells(joint, rank.told, count, False, rank.breaks)
        if found.distinct and len(found.size) <= _FEW:
            ages, levels = 4 * ages, 4 * levels
        elif rank.told in ("size", "both"):  # sizes within a cell are nearly equal: only the rank needs ages
            ages //= 4 if rank.told == "size" else 12
        self._ages = ages
        self.others = self._jobs(found)
        own = cells(joint, rank.told, count, True, rank.breaks)
        self.own = self.others if own.distinct else self._jobs(own)
        self._encode()
        if found.distinct and len(found.size) <= _FEW:
            self.own = self.others = self._jobs(found, self._crossings())
            self._encode()
        self.levels = self._levels(levels, own.distinct)
        from openqueues.models.analysis.soap_sweep import relevant

        found, first, last = self.others
        arguments = (found.ages, found.tail, found.atom, found.work, found.square, first, last)
        self.moments = [relevant(self.levels, *arguments, strictly) for strictly in (True, False)]

    def _jobs(self, of: Cells, more: Array | None = None) -> list:
        knots = [] if more is None else [more]
        if self.rank.knots is not None:
            knots.append(np.atleast_2d(np.asarray(self.rank.knots(of.size, of.predicted), dtype=float)))
        found = jobs(self.law, of, self._ages, np.concatenate(knots, axis=1) if knots else None)
        first, last = self._ranks(of.size, of.predicted, found.ages)
        # A rank at ages that no job of the cell reaches means nothing, and may be so far from all others that the
        # integral over ranks would lose its digits: there the last rank that is reached stays.
        reached = found.tail[:, :-1] > 0
        end = np.maximum(reached.sum(axis=1) - 1, 0)[None, :, None]
        stays = np.take_along_axis(last, np.broadcast_to(end, (2, len(last[0]), 1)), axis=2)
        return [found, np.where(reached, first, stays), np.where(reached, last, stays)]

    def _corners(self):
        """Ranks at which the loads jump where classes are told apart: first ones, and those where one turns."""
        _, first, last = self.others
        turn = (last[:, :-1] - first[:, :-1]) * (last[:, 1:] - first[:, 1:]) <= 0
        step = np.abs(last[:, :-1] - first[:, 1:]) > 1e-6 * (np.abs(last[:, :-1]) + 1e-300)
        return [first[:, 0], last[:, :-1][turn], last[:, :-1][step], first[:, 1:][step]]

    def _crossings(self):
        """Ages at which a rank passes a corner of another class: response times jump with the size there."""
        found, first, last = self.others
        corners = np.unique(np.concatenate(self._corners()))
        corners = corners[np.append(True, np.diff(corners) > 1e-7 * np.abs(corners[1:]))[: len(corners)]][:200]
        rows = []
        for row in range(len(first)):
            above = first[row][:, None] - corners, last[row][:, None] - corners
            cell, corner = np.nonzero(above[0] * above[1] < 0)
            share = above[0][cell, corner] / (above[0] - above[1])[cell, corner]
            rows.append(found.ages[row][cell] + share * np.diff(found.ages[row])[cell])
        most = max(len(row) for row in rows)
        return np.stack([np.append(row, np.full(most - len(row), np.inf)) for row in rows])

    def _ranks(self, size, predicted, ages):
        """Ranks just after the beginning and just before the end of each cell of ages: (2, ...) of pairs."""
        width = np.diff(ages, axis=1)
        ends = (ages[:, :-1] + 1e-9 * width, ages[:, 1:] - 1e-9 * width)
        ends[0][:, 0] = ends[1][:, 0] = 0.0
        answer = []
        for at in ends:
            value = self.rank.rank(size[:, None], predicted[:, None], at)
            pair = value if isinstance(value, tuple) else (np.zeros(()), value)
            answer.append(np.stack([np.broadcast_to(np.asarray(part, dtype=float), at.shape) for part in pair]))
        if any(np.isnan(part).any() for part in answer):
            raise InputError("the rank is not a number for some job: it must be one for every size and age.")
        return answer

    def _encode(self):
        """One number for a rank of two parts, and a finite one for an infinite rank."""
        tables = [self.others] if self.own is self.others else [self.others, self.own]
        pairs = [pair for table in tables for pair in table[1:]]
        firsts = np.unique(np.concatenate([np.unique(pair[0]) for pair in pairs]))
        if len(firsts) > 1000:
            raise InputError("the first part of a rank in two parts takes more than 1000 values: it must be few.")
        finite = [pair[1][np.isfinite(pair[1])] for pair in pairs]
        low = min((part.min() for part in finite if part.size), default=0.0)
        high = max((part.max() for part in finite if part.size), default=0.0)
        beyond = 1 + high - low

        def number(pair):
            second = np.clip(pair[1], low - beyond, high + beyond)
            return second + np.searchsorted(firsts, pair[0]) * (4 * beyond)

        self.number = number
        for table in tables:
            table[1:] = [number(pair) for pair in table[1:]]

    def _levels(self, count, distinct):
        found, first, last = self.own
        mass = -np.diff(found.tail, axis=1) + found.atom[:, 1:]
        worst = np.maximum.accumulate(np.maximum(first, last), axis=1)
        chosen = []
        for ranks in (worst, last):
            order = np.argsort(ranks, axis=None)
            ranks = ranks.ravel()[order]
            for weight in (np.ones_like(mass), mass, mass * found.ages[:, 1:] ** 2):
                upto = np.cumsum(weight.ravel()[order])
                steps = np.linspace(0, upto[-1], count // 6)
                chosen.append(ranks[np.minimum(np.searchsorted(upto, steps), len(ranks) - 1)])
        level = np.unique(first[first == last])
        if distinct or len(level) <= 64:
            # Where classes are told apart, loads jump at level ranks and where a rank turns.
            corners = [level] if len(level) <= count else []
            if distinct:
                for part in self._corners():
                    corners.append(np.unique(part)[:: 1 + len(np.unique(part)) // count])
            chosen += corners
        return np.unique(np.concatenate(chosen))

    def _tables(self, rate):
        (below, squares_below), (upto, squares_upto) = self.moments
        loads = rate * np.stack((below, upto, squares_below, squares_upto))
        if loads[1].max() >= 1:
            raise InputError("the tables of the rank put the load at 1: the load is too near to 1 for them.")
        slow = 0.5 * np.diff(self.levels) * (1 / (1 - loads[1, :-1]) + 1 / (1 - loads[0, 1:]))
        return np.vstack((loads, np.append(0.0, np.cumsum(slow))))

    def mean(self, rate: float) -> float:
        """Mean response time at this arrival rate."""
        from openqueues.models.analysis.soap_sweep import respond

        found, first, last = self.own
        arguments = (found.ages, found.tail, found.atom, found.work, first, last)
        answer = respond(self.levels, self._tables(rate), self.rank.newest, *arguments, False)
        return float(answer.sum())

    def given(self, rate: float, size: Array, predicted: Array) -> Array:
        """Mean response time of jobs of this size and prediction (n,)."""
        from openqueues.models.analysis.soap_sweep import respond

        share = np.append(np.append(0.0, np.geomspace(1e-9, 0.05, self._ages)), np.linspace(0.05, 1, self._ages)[1:])
        ages = size[:, None] * share
        if self.rank.knots is not None:
            told = self._told(size, predicted)
            ages = np.sort(np.concatenate((ages, np.minimum(self.rank.knots(*told), size[:, None])), axis=1), axis=1)
        first, last = (self.number(pair) for pair in self._ranks(*self._told(size, predicted), ages))
        none = np.zeros_like(ages)
        tables = self._tables(rate)
        return respond(self.levels, tables, self.rank.newest, ages, none, none, none, first, last, True)

    def _told(self, size, predicted):
        if self.told == "nothing":
            same = np.full(len(size), self.law.mean)
            return same, same
        return (size, size) if self.told == "size" else (size, predicted)


class Pair:
    """Both resolutions of a law and a rank; `level` 0 answers with the coarse one, 1 with the better value."""

    def __init__(self, joint: JointLaw, rank: Rank):
        self._tables = [Tables(joint, rank, level) for level in range(len(_COUNTS))]

    def response(self, queue: Queue, level: int) -> Response:
        """Mean and conditional response times."""

        def both(of):
            coarse = of(self._tables[0])
            return coarse if level == 0 else (4 * of(self._tables[1]) - coarse) / 3

        def given(x, y):
            x, y = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(y, dtype=float))
            flat = both(lambda tables: tables.given(queue.rate, x.ravel(), y.ravel()))
            return flat.reshape(x.shape)

        return Response(both(lambda tables: tables.mean(queue.rate)), given)


class Laws:
    """Stands where other policies have a Ranking: the joint law, and the resolution 0 or 1."""

    def __init__(self, joint: JointLaw, level: int):
        self.joint, self.level = joint, min(level, 1)

    def respond(self, queue: Queue, key: tuple, rank_for: Callable[[JointLaw], Rank]) -> Response:
        """Response times under the rank `rank_for(joint)`, which `key` names for the next load."""
        place = (self.joint, key)
        if place not in _KEPT:
            while len(_KEPT) >= 16:
                _KEPT.pop(next(iter(_KEPT)), None)
            _KEPT[place] = Pair(self.joint, rank_for(self.joint))
        return _KEPT[place].response(queue, self.level)

    def defect(self, law) -> tuple[float, float, float]:
        """Relative errors that both resolutions may share: cells enter and leave a load in steps."""
        return 1e-4, 0.0, 0.0


_KEPT: dict[tuple, Pair] = {}


def mean_response_of(joint: JointLaw, load: float, rank: Rank) -> tuple[float, float]:
    """(mean response time, estimate of its absolute error) under any rank; times in the law's unit."""
    pair, rate = Pair(joint, rank), load / joint.sizes.mean
    coarse, fine = (tables.mean(rate) for tables in pair._tables)
    value = (4 * fine - coarse) / 3
    return value, abs(value - coarse) + 1e-4 * value
