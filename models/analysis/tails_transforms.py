"""Laplace transforms of the response time, policy by policy: functions of an array of complex s, Re s > 0.

A job of order y waits for the relevant work that it finds, and for the newcomers that overtake it meanwhile;
then it is served, and again newcomers may overtake. Both are busy periods (Scully, Harchol-Balter and
Scheller-Wolf, 2018, have the general form). With w(s) the root of

    w = s + rate E[1 - exp(-w S); the job overtakes],

a stretch of work v, and of all who overtake while it lasts, has the transform exp(-w v). The relevant work W
is that of an M/G/1 queue of the jobs that are not overtaken (order at most y, measure U), to which jobs of
larger order add pieces R when it is empty:

    E[exp(-w W)] = (w P(W = 0) + rate E[1 - exp(-w R)]) / (w - rate E[1 - exp(-w S); U]).

R is the whole job without preemption, nothing for a rank that stays, the part (S - (Y-y))+ for a rank that
falls as the job is served.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from openqueues.models.analysis.tails_kernels import recycled_classes, residences, roots, sums
from openqueues.models.analysis.tails_tables import (
    Array,
    Orders,
    Setting,
    buckets,
    orders,
    recycled,
    sizes_near,
)
from openqueues.models.laws import JointLaw

Transform = Callable[[Array], Array]


class Queue:
    """One queue, looked at with a resolution that suits times near `time`."""

    def __init__(self, joint: JointLaw, load: float, time: float, setting: Setting):
        self.joint, self.load, self.time, self.setting = joint, load, time, setting
        self.rate = load / joint.sizes.mean

    @property
    def where(self) -> tuple[float, float, Setting]:
        return self.load, self.time, self.setting

    def orders(self, by: str) -> Orders:
        return orders(self.joint, by, *self.where)

    def buckets(self, by: str, thresholds) -> Orders:
        return buckets(self.joint, by, thresholds, *self.where)


def first_come(queue: Queue) -> Transform:
    """First come first served: work of all jobs, then the job."""
    return _static(queue, queue.buckets("size", ()))


def last_come(queue: Queue) -> Transform:
    """Preemptive last come first served: the busy period of the job itself."""
    sizes = sizes_near(queue.joint.sizes, *queue.where)
    everyone = sizes.mass[None, :]
    return lambda s: sums(roots(s, queue.rate, sizes.x, everyone), sizes.x, everyone)[:, 0]


def least_attained(queue: Queue) -> Transform:
    """Least attained service: a job of size x sees every job cut off at x."""
    table = queue.orders("size")
    measure = (table.before if table.upto is None else table.upto).copy()
    sf = queue.joint.sizes.sf(table.y)
    measure[np.arange(len(sf)), np.arange(len(sf))] += sf
    idle = 1 - queue.rate * measure @ table.y

    def transform(s):
        w = roots(s, queue.rate, table.y, measure)
        return (idle * w / s[:, None] * np.exp(-w * table.y)) @ table.share

    return transform


def shortest(queue: Queue, by: str, preemptive: bool) -> Transform:
    """Smallest order first: PSJF and PSPJF, or, without preemption, SJF and SPJF."""
    table = queue.orders(by)
    return _static(queue, table) if preemptive else _whole(queue, table)


def classes(queue: Queue, by: str, thresholds, preemptive: bool) -> Transform:
    """One bit or k bits: as models.analysis.bits has it, last come first served but in the last class."""
    table = queue.buckets(by, thresholds)
    if not preemptive:
        return _whole(queue, table)
    rate, x = queue.rate, table.sizes.x
    final = _static(queue, _only(table, -1))
    if len(table.y) == 1:
        return final
    inner = table.before[:-1], table.upto[:-1], table.own[:-1]

    def transform(s):
        before, upto, own = inner
        w = roots(s, rate, x, upto)
        wait = (1 - rate * before @ x) * w / _drift(w, rate, x, before)
        return (wait * sums(w, x, own)).sum(axis=1) + final(s)

    return transform


def _only(table, row):
    """The table with one of its orders."""
    pick = [row]
    return Orders(
        table.sizes, table.y[pick], table.before[pick], table.upto[pick], table.own[pick], table.share[pick], None
    )


def falling(queue: Queue, by: str) -> Transform:
    """Smallest order minus age first: SRPT and SPRPT."""
    table = queue.orders(by)
    rate, x = queue.rate, table.sizes.x
    pieces, work = _pieces(queue, table, by)
    upto = table.before if table.upto is None else table.upto
    idle = 1 - rate * (upto @ x + work)
    residence = _residence(table)

    def transform(s):
        w = roots(s, rate, x, table.before)
        below = s[:, None] if table.upto is None else _drift(w, rate, x, upto)
        wait = (idle * w + rate * pieces(w)) / below
        return (wait * residence(s, w)).sum(axis=1)

    return transform


def _pieces(queue, table, by):
    """E[1 - exp(-w R)] as a function of w, and E[R], R the recycled part of a job of larger order."""
    x, y = table.sizes.x, table.y
    if table.own is None:
        above = queue.joint.sizes.sf(y)
        return lambda w: above * -np.expm1(-w * y), above * y
    if table.grid is None:
        points = table.y
        gap = points[:, None] - points
        part = np.maximum(x - gap[..., None], 0.0)
        work = np.array([np.sum((part[:, i] * table.own)[points > points[i]]) for i in range(len(points))])
        return lambda w: recycled_classes(w, x, table.own, points), work
    r, measure = recycled(queue.joint, table, *queue.where)
    return lambda w: w * sums(w, r, measure), measure.sum(axis=1)


def _residence(table):
    """From s and the roots: the measure of an order times the transform of its residence time."""
    y, x = table.y, table.sizes.x

    def passed(w):
        """The integral of the roots over the orders from 0 to each."""
        if table.grid is None:
            return np.cumsum(w * np.diff(y, prepend=0.0), axis=1)
        return np.stack([table.grid.running(row.real) + 1j * table.grid.running(row.imag) for row in w])

    if table.own is None:
        return lambda s, w: table.share * np.exp(-passed(w))
    knots = np.append(0.0, y)
    left, over = np.maximum(y[:, None] - x, 0.0), np.maximum(x - y[:, None], 0.0)
    index = np.clip(np.searchsorted(knots, left, side="left") - 1, 0, len(y) - 1)
    width = knots[index + 1] - knots[index]
    u = (left - knots[index]) / width
    if table.grid is None:
        zero = np.zeros_like(u)
        weights = np.stack([zero + 1, zero, zero, u * width], axis=-1)
    else:
        # Cubic Hermite interpolation.
        weights = np.stack(
            [
                (1 + 2 * u) * (1 - u) ** 2,
                u**2 * (3 - 2 * u),
                width * u * (1 - u) ** 2,
                width * u**2 * (u - 1),
            ],
            axis=-1,
        )

    def residence(s, w):
        z = np.concatenate((np.zeros((len(s), 1)), passed(w)), axis=1)
        rates = np.concatenate((s[:, None], w), axis=1)
        return residences(s, table.own, over, z, rates, index, weights)

    return residence


def _static(queue, table):
    """Preemptive with ranks that stay: busy periods of the work found and of the job."""
    rate, x = queue.rate, table.sizes.x
    upto = table.before if table.upto is None else table.upto
    idle = 1 - rate * upto @ x

    def transform(s):
        w = roots(s, rate, x, table.before)
        below = s[:, None] if table.upto is None else _drift(w, rate, x, upto)
        served = np.exp(-w * table.y) * table.share if table.own is None else sums(w, x, table.own)
        return (idle * w / below * served).sum(axis=1)

    return transform


def _whole(queue, table):
    """Without preemption: jobs of larger order are waited for whole, if in service; then none overtakes."""
    rate, x, mass = queue.rate, table.sizes.x, table.sizes.mass
    upto = table.before if table.upto is None else table.upto
    above = mass - upto
    idle = 1 - rate * mass @ x

    def transform(s):
        w = roots(s, rate, x, table.before)
        below = s[:, None] if table.upto is None else _drift(w, rate, x, upto)
        wait = (idle * w + rate * (above.sum(axis=1) - sums(w, x, above))) / below
        plain = np.exp(-np.multiply.outer(s, x))
        served = plain * table.share if table.own is None else plain @ table.own.T
        return (wait * served).sum(axis=1)

    return transform


def _drift(w, rate, x, measure):
    """w - rate E[1 - exp(-w S); measure]."""
    return w - rate * (measure.sum(axis=1) - sums(w, x, measure))
