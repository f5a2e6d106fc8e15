"""The jobs that a rank function tells apart, as tables: cells of what it is told, and ages within each.

A cell holds the jobs whose prediction (or size) lies in an interval: the joint law is cut, not sampled, so the
cells together carry exactly the law of the sizes, and a load is right however few they are. What is averaged
is only the rank, taken at one value within the cell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from openqueues.models.analysis.grid import spread
from openqueues.models.analysis.mixture import gathered
from openqueues.models.laws import JointLaw, SizeLaw

Array = np.ndarray
TOLD = ("nothing", "prediction", "size", "both")
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)
_TINY = 1e-14
"""The first knot of ages, in mean sizes: the rank at age 0 may differ from all later ones."""


@dataclass(frozen=True)
class Cells:
    """n cells: the size and prediction at which the rank is taken, and what share of each size is in a cell.

    share(x): array as x, (n, ...), the probability that a job of size x is in the cell of its row.
    marks (n, m): ages that the table of ages must have. scaled: whether ages near the prediction matter.
    distinct: the cells are classes that are told apart as they are, not pieces of a continuum.
    """

    size: Array
    predicted: Array
    share: Callable[[Array], Array]
    marks: Array
    distinct: bool


@dataclass(frozen=True)
class Jobs:
    """For each cell (row) and age (column): joint measures, not conditional ones; rows add to the law.

    tail: P(S > age, cell); atom: P(S = age, cell); work and square: integrals of the tail, and of age times
    the tail, from 0 to the age.
    """

    ages: Array
    tail: Array
    atom: Array
    work: Array
    square: Array


def cells(joint: JointLaw, told: str, count: int, between: bool = False, breaks: tuple = ()) -> Cells:
    """About `count` cells of what the policy is told; with `between`, cells that lie astride the others.

    Where the policy is told one of finitely many things, these are the cells, with and without `between`.
    No cell holds one of the `breaks` in its interior.
    """
    law = joint.sizes
    if told == "nothing":
        one = np.full(1, law.mean)
        return Cells(one, one, np.ones_like, np.empty((1, 0)), True)
    if told == "size" or (joint.is_exact and told in ("prediction", "both")):
        return _by_size(law, count, between, breaks)
    if told == "prediction":
        return _by_classes(joint) if joint.classes is not None else _by_noise(joint, count, between, breaks)
    return _by_both(joint, count, between)


def _by_size(law, count, between, breaks=()):
    if law.atoms is not None:
        x = law.atoms[0]
        return Cells(x, x, lambda at: (at == x[:, None]).astype(float), x[:, None], True)
    edges, middle = _cut(*_mass(law), count, between, (*law.breakpoints, *breaks))
    low, high = edges[:-1, None], edges[1:, None]

    def share(at):
        shape = (-1,) + (1,) * (at.ndim - 1)
        return ((at > low.reshape(shape)) & (at <= high.reshape(shape))).astype(float)

    chance, work = (np.diff(law.partial_moment(k, edges[:-1]), append=law.moment(k)) for k in (0, 1))
    # The mean size of the cell, where it has jobs enough to tell.
    value = np.where(chance > 1e-9, work / np.maximum(chance, 1e-300), middle)
    last = np.minimum(high, _mass(law)[0][-1])
    steps = np.linspace(0.0, 1.0, 4)
    marks = np.concatenate((np.minimum(low, last) + steps * (last - np.minimum(low, last)), 1.0001 * last), axis=1)
    return Cells(value, value, share, marks, False)


def _by_classes(joint):
    values = np.asarray(joint.classes.values, dtype=float)

    def share(at):
        flat = joint.classes.probability(at.reshape(len(values), -1)[0] if _same(at) else at.ravel())
        if _same(at):
            return flat.T.reshape((len(values), *at.shape[1:]))
        return flat.reshape((*at.shape, len(values)))[np.arange(len(values)), ..., np.arange(len(values))]

    marks = np.tile([b for b in (*joint.classes.breakpoints, *joint.classes.edges) if b > 0], (len(values), 1))
    return Cells(values, values, share, marks, True)


def _same(at):
    return at.size < 1 or bool(np.all(at == at[:1]))


def _by_noise(joint, count, between, breaks=()):
    noise = joint.noise
    logs, mass = _mass_of_predictions(joint)
    edges, middle = _cut(logs, mass, count, between, breaks)

    def share(at):
        shape = (-1,) + (1,) * (at.ndim - 1)
        upto = np.minimum(edges[1:], 1e250).reshape(shape)
        return noise.cdf(upto / at) - noise.cdf(edges[:-1].reshape(shape) / at)

    ends = [v for v in noise.support if 0 < v < np.inf]
    points = np.concatenate((_places(*_mass(noise), max(20, count // 8)), ends, noise.breakpoints))
    near = middle[:, None] / points
    kinks = np.concatenate([edges[1:-1, None] / v for v in noise.breakpoints], axis=1) if noise.breakpoints else None
    if kinks is not None:
        first, last = edges[1] / points[-1], edges[-2] / points[0]
        low = np.vstack((np.full((1, kinks.shape[1]), first), kinks))
        high = np.vstack((kinks, np.full((1, kinks.shape[1]), last)))
        near = np.concatenate((near, low, high), axis=1)
    return Cells(middle, middle, share, near, False)


def _by_both(joint, count, between):
    """Cells of size and, within each, of prediction: for analysis of ranks that see both."""
    few = max(20, int(np.sqrt(4 * count)))
    sizes = _by_size(joint.sizes, 4 * few, between)
    told = _by_classes(joint) if joint.classes is not None else _by_noise(joint, few, False)
    n, m = len(sizes.size), len(told.predicted)

    def share(at):
        pieces = at.reshape(n, m, -1)
        own = np.stack([sizes.share(pieces[:, k]) for k in range(m)], axis=1)
        of = np.stack([told.share(pieces[k]) for k in range(n)])
        return (own * of).reshape(at.shape)

    value = np.repeat(sizes.size, m)
    predicted = np.tile(told.predicted, n)
    if joint.noise is not None:  # the prediction relative to the size, not the cell of predictions
        factor = _cut(*_mass(joint.noise), few, False, ())
        low, high = factor[0][:-1], np.where(np.isinf(factor[0][1:]), 1e300, factor[0][1:])
        chance = joint.noise.cdf(high) - joint.noise.cdf(low)
        m = len(chance)
        value, predicted = np.repeat(sizes.size, m), np.outer(sizes.size, factor[1]).ravel()

        def share(at):
            pieces = at.reshape(n, m, -1)
            own = sizes.share(pieces[:, 0])[:, None, :]
            return (own * chance[:, None]).reshape(at.shape)

    return Cells(value, predicted, share, np.repeat(sizes.marks, m, axis=0), sizes.distinct and joint.noise is None)


def _mass(law) -> tuple[Array, Array]:
    """Ends of fine cells of log x (as x) and the mass in each, of a law or a noise with a density."""
    logs, mass = spread(law.pdf, law.cdf, law.support)
    half = 0.5 * (logs[1] - logs[0])
    return np.exp(np.append(logs - half, logs[-1] + half)), mass


def _mass_of_predictions(joint):
    noise_logs, noise_mass = gathered(*spread(joint.noise.pdf, joint.noise.cdf, joint.noise.support), 120)
    if joint.sizes.atoms is not None:
        logs, mass = gathered(np.log(joint.sizes.atoms[0]), joint.sizes.atoms[1], 200)
    else:
        logs, mass = gathered(*spread(joint.sizes.pdf, joint.sizes.cdf, joint.sizes.support), 120)
    sums, masses = np.add.outer(logs, noise_logs).ravel(), np.multiply.outer(mass, noise_mass).ravel()
    heavy = masses > 1e-20
    ends = np.linspace(sums[heavy].min() - 0.1, sums[heavy].max() + 0.1, 401)
    return np.exp(ends), np.histogram(sums, ends, weights=masses)[0]


def _curve(ends, mass):
    """A smooth rising function of log x, at `ends`, along which equal steps are good places for knots."""
    second = mass * ends[1:] ** 2
    density = mass / mass.sum() + second / second.sum()
    width = max(1, len(mass) // 40)
    kernel = np.hanning(2 * width + 1)[1:-1]
    density = np.convolve(density, kernel / kernel.sum(), mode="same") / np.diff(np.log(ends))
    # The error of linear pieces is least when their density goes as the cube root; the floor keeps all finite.
    steps = (np.cbrt(density) + 0.05) * np.diff(np.log(ends))
    return np.append(0.0, np.cumsum(steps)) / steps.sum()


def _places(ends, mass, count):
    """`count` points from the first to the last of `ends`."""
    return np.exp(np.interp(np.linspace(0, 1, count), _curve(ends, mass), np.log(ends)))


def _cut(ends, mass, count, between, breaks):
    """Edges of cells from 0 to infinity and a point in each; with `between`, the points of the others are edges."""
    curve = _curve(ends, mass)

    def at(u):
        return np.exp(np.interp(u, curve, np.log(ends)))

    whole, half = np.arange(1, count) / count, (np.arange(count) + 0.5) / count
    if between:
        edges, middle = at(half), np.concatenate(([at(0.25 / count)], at(whole), [at(1 - 0.25 / count)]))
    else:
        edges, middle = at(whole), at(half)
    inner = [b for b in breaks if edges[0] < b < edges[-1] and not np.any(np.abs(edges - b) <= 1e-9 * b)]
    for b in inner:
        place = int(np.searchsorted(edges, b))
        low, high = edges[place - 1], edges[place]
        edges = np.insert(edges, place, b)
        middle = np.concatenate((middle[:place], np.sqrt((low * b, b * high)), middle[place + 1 :]))
    return np.concatenate(([0.0], edges, [np.inf])), middle


def jobs(law: SizeLaw, told: Cells, count: int, knots: Array | None = None) -> Jobs:
    """The tables of the cells, with about `count` ages besides the cells' marks and the rank's `knots` (n, k)."""
    n = len(told.size)
    marks = [told.marks] + ([knots] if knots is not None else [])
    top = law.support[1] if np.isfinite(law.support[1]) else None
    if law.atoms is not None:
        x = law.atoms[0]
        marks.append(np.broadcast_to(x, (n, len(x))))
        ends = np.array([x[0], x[-1]])
        top = x[-1]
    else:
        ends, mass = _mass(law)
        own = [b for b in (*law.breakpoints, *law.support) if 0 < b < np.inf]
        marks.append(np.broadcast_to(np.concatenate((_places(ends, mass, count), own)), (n, count + len(own))))
    first = _TINY * law.mean
    ages = np.concatenate(marks, axis=1)
    ages = np.sort(np.where(np.isfinite(ages), np.clip(ages, first, top or ends[-1]), ends[-1]), axis=1)
    lead = np.exp(np.linspace(np.log(first), np.log(max(ends[0], 2 * first)), 6))[:-1]
    ages = np.sort(np.concatenate((np.zeros((n, 1)), np.broadcast_to(lead, (n, 5)), ages), axis=1), axis=1)
    if law.atoms is not None:
        return _discrete(law, told, ages)
    low, high = ages[:, :-1], ages[:, 1:]
    width = high - low
    with np.errstate(divide="ignore", invalid="ignore"):
        stretch = np.where(low > 0, 0.5 * np.log(high / low), 0.0)[..., None]
        geometric = np.sqrt(low * high)[..., None] * np.exp(stretch * _NODES)
    x = np.where(low[..., None] > 0, geometric, 0.5 * high[..., None] * (1 + _NODES))
    weight = np.where(low[..., None] > 0, x * stretch, 0.5 * width[..., None]) * _WEIGHTS
    mass = law.pdf(x) * weight * told.share(x)
    inside = mass.sum(axis=2)
    tail = np.zeros_like(ages)
    tail[:, :-1] = np.cumsum(inside[:, ::-1], axis=1)[:, ::-1]
    above = tail[:, 1:]
    work, square = np.zeros_like(ages), np.zeros_like(ages)
    np.cumsum(width * above + (mass * (x - low[..., None])).sum(axis=2), axis=1, out=work[:, 1:])
    part = 0.5 * (above * (high**2 - low**2) + (mass * (x**2 - low[..., None] ** 2)).sum(axis=2))
    np.cumsum(part, axis=1, out=square[:, 1:])
    return Jobs(ages, tail, np.zeros_like(ages), work, square)


def _discrete(law, told, ages):
    x, weight = law.atoms
    share = told.share(np.broadcast_to(x, (len(ages), len(x)))) * weight
    tails = np.zeros((len(ages), len(x) + 1))
    tails[:, :-1] = np.cumsum(share[:, ::-1], axis=1)[:, ::-1]
    place = np.searchsorted(x, ages, side="right")
    tail = np.take_along_axis(tails, place, axis=1)
    before = np.searchsorted(x, ages, side="left")
    atom = np.take_along_axis(tails, before, axis=1) - tail
    atom[:, 1:] = np.where(ages[:, 1:] == ages[:, :-1], 0.0, atom[:, 1:])  # of equal ages the first has it
    low, high = ages[:, :-1], ages[:, 1:]
    work, square = np.zeros_like(ages), np.zeros_like(ages)
    np.cumsum((high - low) * tail[:, :-1], axis=1, out=work[:, 1:])
    np.cumsum(0.5 * (high**2 - low**2) * tail[:, :-1], axis=1, out=square[:, 1:])
    return Jobs(ages, tail, atom, work, square)
