"""The tables behind the transforms: sizes x as nodes with masses, orders y, and measures of sizes by order.

A transform is wanted near |s| = 1/t for a time t, so exp(-s x) turns on the scale of t: panels are narrow
around t, and elsewhere only as narrow as the law of sizes asks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from openqueues.models.analysis.grid import Grid, panel_edges, rule, spread
from openqueues.models.analysis.mixture import gathered
from openqueues.models.laws import JointLaw, Noise, SizeLaw
from openqueues.models.laws.noise import ExponentialNoise

Array = np.ndarray


@dataclass(frozen=True)
class Setting:
    """A resolution: nodes per panel, width in log x of the panels near t, terms of the inversion."""

    order: int
    width: float
    terms: int


COARSE, FINE = Setting(6, 0.6, 7), Setting(8, 0.45, 10)


@dataclass(frozen=True)
class Sizes:
    """Nodes x, ascending, and their probabilities; the grid of a law with a density, None for atoms."""

    law: SizeLaw
    x: Array
    mass: Array
    grid: Grid | None


def running(grid: Grid, weights: Array) -> Array:
    """(n, n): row i holds the weights of an integral up to node i, made from those of the whole integral."""
    order, n = grid.order, len(grid.x)
    panel = np.arange(n) // order
    table = np.where(panel[:, None] > panel[None, :], weights, 0.0)
    inside = rule(order)[2] / rule(order)[1]
    for start in range(0, n, order):
        here = slice(start, start + order)
        table[here, here] = inside * weights[here]
    return table


@dataclass(frozen=True)
class Orders:
    """Orders y and the measure of the sizes of jobs that come before them.

    before[y, x]: jobs of order below y; upto: of order at most y, None where they are the same.
    own[y, x]: the jobs of order y themselves (or times quadrature weights); None where the size is the
    order, and `share` alone says how probable it is. grid: the panels of y, None for finitely many orders.
    """

    sizes: Sizes
    y: Array
    before: Array
    upto: Array | None
    own: Array | None
    share: Array
    grid: Grid | None


def sizes_near(law: SizeLaw, load: float, time: float, setting: Setting, cuts: tuple[float, ...] = ()) -> Sizes:
    """Nodes for transforms at times near `time`; `cuts` are further sizes at which panels end."""
    if law.atoms is not None:
        return Sizes(law, *law.atoms, None)
    edges = narrowed(_natural(law, cuts), load, time, setting.width)
    grid = Grid(edges, setting.order)
    mass = (law.pdf(grid.x) * grid.weights).reshape(-1, setting.order)
    ends = np.concatenate(([0.0], edges))
    below, above = law.cdf(ends), law.sf(ends)
    exact = np.where(above[1:] < 0.5, above[:-1] - above[1:], below[1:] - below[:-1])
    sums = mass.sum(axis=1)
    # Every panel has its exact probability, so the panels may end far from where the density is negligible.
    mass *= np.where((sums > 0) & (exact > 0), exact / np.where(sums > 0, sums, 1.0), 1.0)[:, None]
    return Sizes(law, grid.x, mass.ravel(), grid)


def narrowed(edges: Array, load: float, time: float, width: float) -> Array:
    """The panels, cut into narrow ones where exp(-s x) turns and still counts at |s| about 1/time."""
    logs = np.log(edges)
    low, high = np.log(0.07 * time * (1 - load)), np.log(5 * time)
    near = (logs[1:] > low) & (logs[:-1] < high)
    zone = np.concatenate((logs, [v for v in (low, high) if logs[0] < v < logs[-1]])) if near.any() else logs
    zone = np.unique(zone)
    zone = zone[np.append(True, np.diff(zone) > 1e-9)]
    middle = 0.5 * (zone[1:] + zone[:-1])
    wide = np.where((middle > low) & (middle < high), width, 3.0)
    parts = np.maximum(np.ceil(np.diff(zone) / wide - 1e-9), 1).astype(int)
    within = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    inner = np.repeat(zone[:-1], parts) + within * np.repeat(np.diff(zone) / parts, parts)
    return np.exp(np.append(inner, zone[-1]))


@lru_cache(maxsize=64)
def _natural(law: SizeLaw, cuts: tuple[float, ...]) -> Array:
    """Panels that suit the law: a thousandth of the jobs may lie below them, 1e-10 of the work above."""
    fixed = sorted({v for v in (*law.support, *law.breakpoints, *cuts) if 0 < v < np.inf})
    edges = panel_edges(*spread(law.pdf, law.cdf, law.support), fixed, 1.5)
    least = law.support[0] if law.support[0] > 0 else float(law.ppf(1e-3))
    enough = law.tail_moment(1, edges) > 1e-10 * law.mean
    most = edges[min(np.flatnonzero(enough).max() + 1, len(edges) - 1)]
    kept = edges[(edges >= least) & (edges <= most)]
    wanted = [v for v in fixed if least <= v <= law.support[1]]
    edges = np.unique(np.concatenate((kept, wanted, [least])))
    return edges[np.append(True, np.diff(np.log(edges)) > 1e-12)]


def orders(joint: JointLaw, by: str, load: float, time: float, setting: Setting) -> Orders:
    """The tables for policies that rank by size or by prediction."""
    law = joint.sizes
    if by == "size" or joint.is_exact:
        sizes = sizes_near(law, load, time, setting)
        if sizes.grid is not None:
            return Orders(sizes, sizes.x, running(sizes.grid, sizes.mass), None, None, sizes.mass, sizes.grid)
        upto = np.tril(np.broadcast_to(sizes.mass, (len(sizes.x),) * 2))
        return Orders(sizes, sizes.x, upto - np.diag(sizes.mass), upto, None, sizes.mass, None)
    if joint.noise is not None:
        sizes = sizes_near(law, load, time, setting)
        grid = Grid(_prediction_edges(law, joint.noise), setting.order)
        with np.errstate(divide="ignore"):
            before = sizes.mass * joint.noise.cdf(grid.x[:, None] / sizes.x)
        own = _scattered(sizes, joint.noise, grid)
        return Orders(sizes, grid.x, before, None, own, own.sum(axis=1), grid)
    classes = joint.classes
    cuts = [v for v in (*classes.breakpoints, *classes.edges) if v > 0]
    values = np.asarray(classes.values, dtype=float)
    gaps = np.abs(np.subtract.outer(values, values)).ravel()
    sizes = sizes_near(law, load, time, setting, tuple(np.unique(np.append(cuts, gaps[gaps > 0]))))
    own = np.ascontiguousarray((classes.probability(sizes.x) * sizes.mass[:, None]).T)
    return finite(sizes, values, own)


def finite(sizes: Sizes, values: Array, own: Array) -> Orders:
    """Finitely many orders, each with its own measure of sizes."""
    upto = np.cumsum(own, axis=0)
    before = np.concatenate((np.zeros((1, own.shape[1])), upto[:-1]))
    return Orders(sizes, values, before, upto, own, own.sum(axis=1), None)


def buckets(joint: JointLaw, by: str, thresholds: Array, load: float, time: float, setting: Setting) -> Orders:
    """The orders cut into classes at `thresholds`, ascending; order < threshold is the lower class."""
    law, inner = joint.sizes, np.asarray(thresholds, dtype=float)
    by_size = by == "size" or joint.is_exact
    cuts = inner[(inner > 0) & np.isfinite(inner)]
    if by_size:
        sizes = sizes_near(law, load, time, setting, tuple(cuts))
        below = [np.where(sizes.x < cut, sizes.mass, 0.0) for cut in inner]
    elif joint.noise is not None:
        breaks = {v for v in (*joint.noise.breakpoints, *joint.noise.support) if 0 < v < np.inf}
        sizes = sizes_near(law, load, time, setting, tuple(np.unique([c / v for c in cuts for v in breaks])))
        below = [sizes.mass * joint.noise.cdf(cut / sizes.x) for cut in inner]
    else:
        classes = joint.classes
        kinks = tuple(v for v in (*classes.breakpoints, *classes.edges) if v > 0)
        sizes = sizes_near(law, load, time, setting, kinks)
        chance = classes.probability(sizes.x)
        below = [sizes.mass * chance[:, np.asarray(classes.values) < cut].sum(axis=1) for cut in inner]
    own = np.diff(np.stack([0.0 * sizes.mass, *below, sizes.mass]), axis=0)
    return finite(sizes, np.append(inner, np.inf), own)


@lru_cache(maxsize=64)
def _prediction_edges(law: SizeLaw, noise: Noise) -> Array:
    logs, mass = _spread_of(law)
    noise_logs, noise_mass = spread(noise.pdf, noise.cdf, noise.support)
    noise_logs, noise_mass = gathered(noise_logs, noise_mass, 60)
    sums = np.add.outer(logs, noise_logs).ravel()
    sort = np.argsort(sums)
    sums, mass = sums[sort], np.multiply.outer(mass, noise_mass).ravel()[sort]
    edges = panel_edges(sums, mass, (), 1.0)
    upto = np.interp(np.log(edges), sums, np.cumsum(mass))
    beyond = np.interp(np.log(edges), sums, np.cumsum(mass[::-1])[::-1])
    kept = edges[(upto > 3e-3) & (beyond > 1e-9)]
    return kept if len(kept) > 1 else edges


def _spread_of(law):
    if law.atoms is not None:
        return gathered(np.log(law.atoms[0]), law.atoms[1], 200)
    return gathered(*spread(law.pdf, law.cdf, law.support), 100)


@lru_cache(maxsize=16)
def noise_nodes(noise: Noise, order: int) -> tuple[Array, Array]:
    """Values of the noise and their probabilities."""
    logs, mass = spread(noise.pdf, noise.cdf, noise.support)
    fixed = [v for v in (*noise.breakpoints, *noise.support) if 0 < v < np.inf]
    edges = panel_edges(logs, mass, fixed, 1.5)
    kept = edges[(noise.cdf(edges) > 1e-4) & (noise.cdf(edges) < 1 - 1e-9)]
    edges = np.unique(np.concatenate((kept, fixed)))
    edges = edges[np.append(True, np.diff(np.log(edges)) > 1e-12)]
    grid = Grid(edges, order)
    weight = (noise.pdf(grid.x) * grid.weights).reshape(-1, order)
    exact, sums = np.diff(noise.cdf(np.concatenate(([0.0], edges)))), weight.sum(axis=1)
    weight *= np.where(sums > 0, exact / np.where(sums > 0, sums, 1.0), 0.0)[:, None]
    return grid.x, weight.ravel() / weight.sum()


def _scattered(sizes: Sizes, noise: Noise, grid: Grid) -> Array:
    """(n_y, n_x): the law of (size, size times noise), each prediction shared among the nodes of its panel.

    The shares are the Lagrange polynomials of the panel: what is smooth in y is integrated as exactly as by
    the panel's own rule, whatever jumps the noise's density has.
    """
    order = grid.order
    factor, weight = noise_nodes(noise, order - 2)
    panel, place = grid.locate(np.multiply.outer(sizes.x, factor).ravel())
    shares = np.polynomial.legendre.legvander(place, order - 1) @ rule(order)[3]
    shares *= np.multiply.outer(sizes.mass, weight).reshape(-1, 1)
    column = np.repeat(np.arange(len(sizes.x)), len(factor))
    at = (panel[:, None] * order + np.arange(order)) * len(sizes.x) + column[:, None]
    table = np.bincount(at.ravel(), shares.ravel(), len(grid.x) * len(sizes.x))
    return table.reshape(len(grid.x), len(sizes.x))


def recycled(joint: JointLaw, table: Orders, load: float, time: float, setting: Setting) -> tuple[Array, Array]:
    """Nodes r and dr times P(Y > y, S - (Y-y) > r): what jobs of larger order leave at rank y, noisy predictions."""
    law, grid, noise = table.sizes.law, table.sizes.grid, joint.noise
    if grid is not None and isinstance(noise, ExponentialNoise):
        return grid.x, _recycled_exponential(table) * grid.weights
    if grid is None:
        first, last = law.atoms[0][0], law.atoms[0][-1]
        steps = max(2, int(np.ceil(np.log(last / first) + 7)))
        grid = Grid(narrowed(np.geomspace(first * 1e-3, last, steps), load, time, setting.width), setting.order)
    y, r = table.y[:, None], grid.x
    measure = np.zeros((len(table.y), len(r)))
    # With Y = n S the event is S > y/n and S (1 - n) > r - y.
    for n, weight in zip(*noise_nodes(noise, setting.order - 2), strict=True):
        if n < 1:
            measure += weight * law.sf(np.maximum(y / n, (r - y) / (1 - n)))
        else:
            top = np.maximum(y - r, 0.0) / (n - 1) if n > 1 else np.where(y > r, np.inf, 0.0)
            measure += weight * np.maximum(law.sf(y / n) - law.sf(np.maximum(top, y / n)), 0.0)
    return r, measure * grid.weights


def _recycled_exponential(table: Orders) -> Array:
    """(n_y, n_r): P(Y > y, S - (Y-y) > r) for exponential noise, r the nodes of the sizes.

    P(y < Y < S + y - r) = exp(-y/S) (1 - exp(r/S - 1)) is a product of two tables in the panels above that of
    r; in its own panel S has nodes of its own from r up.
    """
    sizes, y = table.sizes, table.y
    grid, r = sizes.grid, sizes.x[:, None]
    panel = np.arange(len(r)) // grid.order
    above = panel[:, None] < panel[None, :]
    table_above = np.where(above, sizes.mass * -np.expm1(np.minimum(r / sizes.x - 1, 0.0)), 0.0)
    nodes, weights = rule(grid.order)[:2]
    half = 0.5 * (np.log(grid.edges[panel])[:, None] - np.log(r))
    x = r * np.exp(half * (1 + nodes))
    own = sizes.law.pdf(x) * x * half * weights * -np.expm1(r / x - 1)
    within = sum(np.exp(-y[:, None] / x[:, k]) * own[:, k] for k in range(grid.order))
    return np.exp(-y[:, None] / sizes.x) @ table_above.T + within
