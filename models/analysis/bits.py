"""Service by a few classes of the order (size or prediction): one bit, k bits, and their best thresholds.

With K classes cut at thresholds c_1 < ... < c_(K-1), a class reaching from order a to order b, the mean
response time is a sum over classes of a function of a and b only. So the best thresholds on a set of
candidates are a shortest path, found by dynamic programming: a global optimum, whatever the number of local
ones.
"""

from __future__ import annotations

import numpy as np
from openqueues.models.analysis.queue import Queue, Response
from openqueues.models.analysis.ranking import Array, Ranking
from openqueues.models.errors import InputError

_CANDIDATES = 400


def one_bit(queue: Queue, threshold: float | str, preemptive: bool) -> Response:
    """The policies onebit and onebit-true: short is an order below the threshold."""
    return bucketed(queue, read_thresholds(queue, 1, preemptive, threshold), preemptive)


def k_bits(queue: Queue, bits: int, thresholds: float | str | Array, preemptive: bool) -> Response:
    """The policy kbit: 2^bits classes of the order."""
    return bucketed(queue, read_thresholds(queue, bits, preemptive, thresholds), preemptive)


def read_thresholds(queue: Queue, bits: int, preemptive: bool, given: float | str | Array) -> Array:
    """Ascending thresholds from `optimal`, `equal` (classes of equal probability), a number, or 0.5|1|2.

    InputError for anything else, for more thresholds than 2^bits classes need, and for a bad parameter.
    """
    if not isinstance(preemptive, bool | np.bool_):
        raise InputError(f"preemptive is {preemptive}: it must be true or false.")
    if isinstance(bits, bool) or not isinstance(bits, int | float) or bits not in range(1, 9):
        raise InputError(f"bits is {bits}: it must be a whole number from 1 to 8.")
    classes = 2 ** int(bits)
    if isinstance(given, str) and given == "optimal":
        return best_thresholds(queue, classes, preemptive)
    if isinstance(given, str) and given == "equal":
        return equal_thresholds(queue.ranking, classes)
    try:
        values = [float(part) for part in given.split("|")] if isinstance(given, str) else given
        cuts = np.array(values, dtype=float, ndmin=1)
    except (TypeError, ValueError):
        cuts = np.array([np.nan])
    if cuts.ndim != 1 or isinstance(given, bool) or not np.all(cuts >= 0) or np.any(np.diff(cuts) <= 0):
        raise InputError(
            f"thresholds are '{given}': give optimal, equal, or ascending numbers from 0 up, as in 0.5|1|2."
        )
    if len(cuts) > classes - 1:
        raise InputError(
            f"{len(cuts)} thresholds were given, but bits={bits:g} makes {classes} classes: give at most {classes - 1}."
        )
    return cuts


def bucketed(queue: Queue, thresholds: Array, preemptive: bool) -> Response:
    """Mean response time with classes cut at `thresholds`, ascending; order < threshold is the lower class.

    Non-preemptive: priorities, first come first served within a class. Preemptive: a newcomer takes the
    server from its own class and longer ones, but the last class is first come first served.
    """
    cuts = np.concatenate(([0.0], np.asarray(thresholds, dtype=float), [np.inf]))
    ends = queue.ranking.below(cuts)
    classes = np.arange(len(cuts) - 1)
    last = classes == len(classes) - 1
    wait, stretch = class_response(queue, ends[:, :-1], ends[:, 1:], last, preemptive)
    share, work = np.diff(ends[:2], axis=1)

    def given(x, y):
        index = np.searchsorted(cuts[1:-1], y, side="right")
        return wait[index] + x * stretch[index]

    return Response(float(share @ wait + work @ stretch), given)


def class_response(queue: Queue, low, high, last, preemptive: bool) -> tuple[Array, Array]:
    """(wait, stretch) of a class: its response time is wait + size * stretch.

    low and high are (3, ...) moments E[S^k; order below the class], E[S^k; order below its upper end].

    Preemptive: a newcomer of a class but the last waits for the work of lower classes alone, and that and
    its own service are interrupted by lower classes and its own. The last class waits for all work.
    """
    rate = queue.rate
    below, upto = 1 - rate * low[1], 1 - rate * high[1]
    if not preemptive:
        return queue.waiting_work / (below * upto), np.ones_like(below)
    first = 0.5 * rate * low[2] / (below * upto), 1 / upto
    final = queue.waiting_work / ((1 - queue.load) * below), 1 / below
    return np.where(last, final[0], first[0]), np.where(last, final[1], first[1])


def equal_thresholds(ranking: Ranking, classes: int) -> Array:
    """Thresholds that cut the orders into `classes` of equal probability, as nearly as atoms allow."""
    wanted = np.arange(1, classes) / classes
    if ranking.discrete:
        cuts = candidates(ranking)[1:-1]
        if not len(cuts):
            return cuts
        reached = ranking.below(cuts)[0]
        nearest = np.abs(reached[:, None] - wanted).argmin(axis=0)
        return np.unique(cuts[nearest])
    low, high = np.full(len(wanted), ranking.points[0]), np.full(len(wanted), ranking.points[-1])
    for _ in range(200):
        middle = np.sqrt(low * high)
        below = ranking.below(middle)[0] < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
        if np.all(high <= low * (1 + 4e-16)):
            break
    return np.sqrt(low * high)


def best_thresholds(queue: Queue, classes: int, preemptive: bool) -> Array:
    """The thresholds of least mean response time for at most `classes` classes: ascending, none twice.

    A threshold 0 or infinity says that everything is best served in one class.
    """
    points = candidates(queue.ranking)
    tried = points
    if len(points) > _CANDIDATES:
        tried = points[np.linspace(0, len(points) - 1, _CANDIDATES).round().astype(int)]
    chosen = _shortest_path(queue, [tried] * (classes - 1), preemptive)
    if not queue.ranking.discrete:
        return _polished(queue, np.unique(chosen), preemptive)
    step = np.ceil(len(points) / len(tried)).astype(int)
    while len(points) > len(tried):
        windows = [points[max(i - step, 0) : i + step + 1] for i in np.searchsorted(points, chosen)]
        better = _shortest_path(queue, windows, preemptive)
        if np.array_equal(better, chosen):
            break
        chosen = better
    return np.unique(chosen)


def _polished(queue, chosen, preemptive):
    """Newton's method, damped, in the logarithm of the thresholds that are neither 0 nor infinite.

    Each threshold meets its neighbours only, so all derivatives come from three values of each, by central
    differences; their step balances rounding (1e-16 / step) and curvature (step^2).
    """
    free = np.flatnonzero((chosen > 0) & np.isfinite(chosen))
    if not len(free):
        return chosen
    ends = np.concatenate(([0.0], chosen, [np.inf]))

    def at(logs, step):
        """(3, 3, classes) costs with the lower and the upper end of each class moved by -step, 0, step."""
        moved = np.stack([ends] * 3)
        moved[:, 1 + free] = np.exp(logs + np.array([-step, 0.0, step])[:, None])
        moments = queue.ranking.below(moved)
        last = np.arange(len(ends) - 1) == len(ends) - 2
        low, high = moments[:, :, None, :-1], moments[:, None, :, 1:]
        return _costs(queue, low, high, last, preemptive)

    step, damping = 1e-4, 1e-6
    logs = np.log(chosen[free])
    costs = at(logs, step)
    for _ in range(60):
        above, under = costs[:, 1, 1:], costs[1, :, :-1]
        slope = (above[2] - above[0] + under[2] - under[0])[free] / (2 * step)
        bend = (above[2] + above[0] + under[2] + under[0] - 2 * (above[1] + under[1]))[free] / step**2
        mixed = (costs[2, 2] - costs[2, 0] - costs[0, 2] + costs[0, 0])[1:-1] / (4 * step**2)
        joined = np.diff(free) == 1
        mixed = np.where(joined, mixed[free[:-1]], 0.0)
        hessian = np.diag(bend) + np.diag(mixed, 1) + np.diag(mixed, -1)
        scale = max(np.abs(bend).max(), 1e-12 * costs[1, 1].sum())
        shift = damping * scale + max(0.0, -np.linalg.eigvalsh(hessian)[0])
        move = -np.linalg.solve(hessian + shift * np.eye(len(free)), slope)
        new = logs + np.clip(move, -0.5, 0.5)
        trial = at(new, step)
        gain = costs[1, 1].sum() - trial[1, 1].sum()
        if np.all(np.diff(new) > 0) and gain > 0:
            logs, costs, damping = new, trial, max(damping / 10, 1e-9)
            if np.abs(move).max() < 1e-9:
                break
        elif np.abs(move).max() < 1e-9:
            break
        else:
            damping = max(10 * damping, 1e-6)
            if damping > 1e6:
                break
    chosen = chosen.copy()
    chosen[free] = np.exp(logs)
    return chosen


def candidates(ranking: Ranking) -> Array:
    """Ascending thresholds worth trying, from 0 to infinity: between atoms all there are."""
    if ranking.discrete:
        points = ranking.points
        return np.concatenate(([0.0], 0.5 * (points[1:] + points[:-1]), [np.inf]))
    below = ranking.below(ranking.points)
    worth = (below[0] > 1e-9) & (below[2] < (1 - 1e-12) * below[2, -1])
    inner, index = np.unique(ranking.points[worth], return_index=True)
    # Evenly in the share of jobs, of work, and in the logarithm.
    steps = np.linspace(0, 1, 160)[1:-1]
    even = [np.interp(steps, row[worth][index] / row[-1], inner) for row in below[:2]]
    return np.unique(np.concatenate(([0.0], inner[::4], *even, [np.inf])))


def _shortest_path(queue, windows, preemptive):
    """One threshold from each of `windows`, ascending, of least mean response time."""
    if not windows:
        return np.empty(0)
    cost, previous, back = np.zeros(1), np.zeros(1), []
    step = source = None
    for window in windows:
        if source is not previous or previous is not window:
            step, source = _costs_between(queue, previous, window, False, preemptive), previous
        total = cost[:, None] + step
        back.append(total.argmin(axis=0))
        cost, previous = total.min(axis=0), window
    total = cost + _costs_between(queue, previous, np.array([np.inf]), True, preemptive)[:, 0]
    index = int(total.argmin())
    chosen = []
    for window, origin in zip(reversed(windows), reversed(back), strict=True):
        chosen.append(window[index])
        index = origin[index]
    return np.array(chosen[::-1])


def _costs_between(queue, low, high, last, preemptive):
    """`_costs` of classes from each of the thresholds `low` to each of `high`; infinite where they cross."""
    a = queue.ranking.below(low)[:, :, None]
    b = queue.ranking.below(high)[:, None, :]
    return np.where(low[:, None] <= high, _costs(queue, a, b, last, preemptive), np.inf)


def _costs(queue, low, high, last, preemptive):
    """The share of the mean response time due to a class, from the moments below its ends."""
    wait, stretch = class_response(queue, low, high, last, preemptive)
    return (high[0] - low[0]) * wait + (high[1] - low[1]) * stretch
