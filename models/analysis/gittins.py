"""Ranks made from the law of the size given the prediction: Gittins, SERPT, M-SERPT, mean and quantile.

With S the size and the prediction y known, the ranks of a job of age a are

    gittins   inf over b > a of E[min(S, b) - a | S > a, y] / P(S <= b | S > a, y)  (1 / the Gittins index)
    serpt     E[S - a | S > a, y]
    mserpt    the largest SERPT rank up to age a
    mean      E[S | y] - a, and never below 0
    quantile  the smallest q with P(S <= q | y) >= share, less a, and never below 0

Each is tabulated for some predictions as straight pieces of age. Between two of these predictions the nearer
row is taken with ages and ranks stretched as E[S | y] grows from there.
That table *is* the policy that the kernel runs, and the one that is analysed.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from openqueues.models.analysis.soap import Rank
from openqueues.models.analysis.soap_jobs import Cells, _cut, _mass_of_predictions, cells, jobs
from openqueues.models.errors import unknown
from openqueues.models.laws import JointLaw

Array = np.ndarray
KINDS = ("gittins", "serpt", "mserpt", "mean", "quantile")
_ROWS, _AGES = 300, 240
_LAST = 1e-10
"""The tables end at the age that a job of that prediction exceeds with this probability; then ranks stay."""
_TOLERANCE = 3e-3
"""Relative error of a rank that is allowed for fewer pieces."""
HEAD = 4
"""Columns before the ages: prediction up to which a row is used, its own, the power with which it stretches, knots."""


@lru_cache(maxsize=64)
def table(joint: JointLaw, kind: str, share: float = 0.5) -> Array:
    """The table of a kind of rank: a row per prediction, (rows, HEAD + 2 m), m knots of age and their ranks.

    A row: the largest prediction that it serves, its own prediction, the growth of log E[S | y] with log y
    there, its number of knots, their ages (ascending; two equal ones at a jump) and ranks, both padded.
    share: of `quantile` only.
    """
    if kind not in KINDS:
        raise unknown("kind of rank", kind, KINDS)
    if joint.is_exact:
        curves = [(np.zeros(1), np.ones(1)) if kind == "mserpt" else (np.array([0.0, 1.0]), np.array([1.0, 0.0]))]
        return _packed(np.ones(1), np.ones(1), curves)
    told, density = _posterior(joint)
    found = jobs(joint.sizes, told, _AGES)
    curves = []
    for i in range(len(told.predicted)):
        own = np.append(found.ages[i, 1:] > found.ages[i, :-1], True)  # of equal ages the last
        age, tail, work = found.ages[i, own], found.tail[i, own], found.work[i, own]
        if not tail[0] > 0:
            continue
        after = _sum_after(np.diff(work))
        kept = np.flatnonzero(tail >= _LAST * tail[0])[-1] + 1
        if kind in ("mean", "quantile"):
            value = after[0] / tail[0] if kind == "mean" else age[np.argmax(tail <= (1 - share) * tail[0])]
            curves.append((told.predicted[i], after[0] / tail[0], (np.array([0.0, value]), np.array([value, 0.0]))))
            continue
        before = np.append(tail[0], tail[:-1]) if joint.sizes.atoms is not None else tail
        if kind == "gittins":
            slope = None if density is None else density(age, i)
            curve = _gittins(age, tail, before, work, slope)
        else:
            curve = _expected(age, tail, before, after)
        ages, ranks = np.repeat(age, 2)[: 2 * kept], curve.ravel()[: 2 * kept]
        if kept < len(age) and tail[kept] <= 1e-14 * tail[0]:
            ages, ranks = np.append(ages, age[kept]), np.append(ranks, 0.0)  # the largest size is reached
        if kind == "mserpt":
            ages, ranks = _highest(ages, ranks)
        curves.append((told.predicted[i], after[0] / tail[0], _simplified(ages, ranks, 0.02 * joint.sizes.mean)))
    values, means, curves = zip(*curves, strict=True)
    return _packed(np.array(values), np.array(means), curves)


def _posterior(joint):
    """(cells with the density of the prediction as share, density of the size at (left and right of) ages)."""
    law = joint.sizes
    if joint.classes is not None:
        told = cells(joint, "prediction", 0)
    else:
        noise = joint.noise
        whole = cells(joint, "prediction", _ROWS)
        middle = _cut(*_mass_of_predictions(joint), _ROWS, False, ())[1]

        def share(at):
            return noise.pdf(middle.reshape((-1,) + (1,) * (at.ndim - 1)) / at) / at

        ends = [v for v in (*noise.support, *noise.breakpoints) if 0 < v < np.inf]
        count = whole.marks.shape[1] - 2 * len(noise.breakpoints) if noise.breakpoints else None
        marks = np.concatenate((whole.marks[:, :count], middle[:, None] / np.array(ends)), axis=1)
        told = Cells(middle, middle, share, marks, False)
    if law.atoms is not None:
        return told, None

    def density(age, i):
        """Left and right of each age: (2, ages); the densities may jump there."""
        sides = np.stack((age * (1 - 1e-9), age * (1 + 1e-9)))
        if joint.classes is not None:
            chance = joint.classes.probability(sides.ravel())[:, i].reshape(sides.shape)
        else:
            with np.errstate(divide="ignore", invalid="ignore"):
                chance = np.where(sides > 0, joint.noise.pdf(told.predicted[i] / sides) / sides, 0.0)
        with np.errstate(invalid="ignore"):
            return np.nan_to_num(law.pdf(sides) * chance, nan=0.0, posinf=0.0)

    return told, density


def _sum_after(steps):
    """Sums of the steps from each place to the end, with a 0 at the end."""
    return np.append(np.cumsum(steps[::-1])[::-1], 0.0)


def _gittins(age, tail, before, work, slope):
    """Ranks (ages, 2) just before and just after each age."""
    from openqueues.models.analysis.gittins_curves import least_quotient

    right = least_quotient(tail, tail, work, False)
    if slope is None:
        # Just before an atom it is the next thing to happen, so b may be the age itself.
        left = least_quotient(tail, before, work, True)
    else:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            right = np.fmin(right, tail / slope[1])
            left = np.fmin(right, tail / slope[0])
    return _filled(np.stack((left, right), axis=1))


def _filled(curve):
    """Ranks that nothing is left to tell (the last age) are those before."""
    good = np.isfinite(curve).all(axis=1)
    place = np.maximum.accumulate(np.where(good, np.arange(len(curve)), 0))
    return curve[place]


def _expected(age, tail, before, after):
    with np.errstate(divide="ignore", invalid="ignore"):
        return _filled(np.stack((after / before, after / tail), axis=1))


def _highest(ages, ranks):
    """The running maximum, with a knot where the curve rises out of it."""
    highest = np.maximum.accumulate(ranks)
    extra, values = [], []
    for k in np.flatnonzero((highest[1:] > highest[:-1]) & (ranks[:-1] < highest[:-1]) & (ages[1:] > ages[:-1])):
        part = (highest[k] - ranks[k]) / (ranks[k + 1] - ranks[k])
        extra.append(ages[k] + part * (ages[k + 1] - ages[k]))
        values.append(highest[k])
    all_ages, all_ranks = np.append(ages, extra), np.append(highest, values)
    order = np.lexsort((all_ranks, all_ages))
    return all_ages[order], all_ranks[order]


def _simplified(ages, ranks, floor):
    """Fewer knots: straight pieces that miss no knot by more than the tolerance, of ranks and of `floor`."""
    from openqueues.models.analysis.gittins_curves import needed

    kept = np.zeros(len(ages), bool)
    kept[[0, -1]] = True
    jump = (ages[1:] == ages[:-1]) & (np.abs(ranks[1:] - ranks[:-1]) > _TOLERANCE * (np.abs(ranks[:-1]) + floor))
    kept[:-1] |= jump
    kept[1:] |= jump
    needed(ages, ranks, _TOLERANCE * (np.abs(ranks) + floor), kept)
    return ages[kept], ranks[kept]


def _packed(values, means, curves):
    most = max(len(ages) for ages, _ in curves)
    rows = np.zeros((len(curves), HEAD + 2 * most))
    rows[:, 2] = np.gradient(np.log(means), np.log(values)) if len(values) > 1 else 1.0
    with np.errstate(over="ignore"):
        rows[:, 0] = np.append(np.sqrt(values[1:] * values[:-1]), np.inf)
    rows[:, 1] = values
    for row, (ages, ranks) in zip(rows, curves, strict=True):
        row[3] = len(ages)
        row[HEAD : HEAD + most] = np.concatenate((ages, np.full(most - len(ages), np.inf)))
        row[HEAD + most :] = np.concatenate((ranks, np.full(most - len(ranks), ranks[-1])))
    rows.setflags(write=False)
    return rows


def stretched(rows: Array, alpha: float) -> Array:
    """The table whose rank at age alpha times a is that of `rows` at age a (robust Gittins)."""
    slower = rows.copy()
    slower[:, HEAD : (HEAD + rows.shape[1]) // 2] *= alpha
    return slower


def curve(rows: Array, prediction: float) -> tuple[Array, Array]:
    """(ages, ranks) of the pieces for one prediction; after the last age the rank stays."""
    row = rows[np.searchsorted(rows[:, 0], prediction)]
    count, most, stretch = int(row[3]), (len(row) - HEAD) // 2, (prediction / row[1]) ** row[2]
    return stretch * row[HEAD : HEAD + count], stretch * row[HEAD + most : HEAD + most + count]


def rank_of(rows: Array) -> Rank:
    """The rank of a table, for the analysis."""
    most = (rows.shape[1] - HEAD) // 2

    def rank(size, predicted, age):
        answer = np.empty(np.broadcast(predicted, age).shape)
        for out, value, at in zip(answer, predicted[:, 0], np.broadcast_to(age, answer.shape), strict=True):
            out[:] = np.interp(at, *curve(rows, value))
        return answer

    def knots(size, predicted):
        row = rows[np.searchsorted(rows[:, 0], predicted)]
        return ((predicted / row[:, 1]) ** row[:, 2])[:, None] * row[:, HEAD : HEAD + most]

    return Rank(rank, knots=knots)
