"""SkipPredict, DelayPredict and a random share of predicted jobs as plans of costs.py, and their best parameters."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from openqueues.models.analysis.costs import Branch, Plan, Staged, _checked, checked_costs, noise_of
from openqueues.models.analysis.grid import ORDERS
from openqueues.models.analysis.queue import Queue, Response
from openqueues.models.analysis.ranking import size_edges
from openqueues.models.errors import InputError

_COARSE = 6  # nodes a panel where the best of a few values is looked for


def _none(x):
    return np.zeros_like(x)


def _sure(x):
    return np.ones_like(x)


def skip_plan(queue: Queue, threshold: float, cost1: float, cost2: float, model: str, window: float) -> Plan:
    """SkipPredict; the cheap bit is that of a second prediction, independent of the full one given the size."""
    noise = noise_of(queue)
    if noise is None:

        def long(x):
            return (x >= threshold).astype(float)

        kinks = (threshold,)
    else:

        def long(x):
            return 1 - noise.cdf(threshold / x)

        kinks = tuple(threshold / v for v in noise.breakpoints)

    def short(x):
        return 1 - long(x)

    if model == "external":
        branches = (
            Branch(short, lambda x: x, _none),
            Branch(long, _none, _none, offset=0.0),
        )
        price = cost1 + cost2 * _share(queue, long, kinks)
        return Plan(branches, kinks, price)
    if model == "server":
        branches = (
            Branch(short, lambda x: cost1 + x, _none),
            Branch(long, lambda x: cost1 + _none(x), lambda x: cost2 + _none(x), 0.0, cost1 + cost2),
        )
        return Plan(branches, kinks)
    slow1, slow2 = 1 + cost1 / window, 1 + cost2 / window

    def bit(x):
        return np.minimum(x, window) * slow1

    branches = (
        Branch(short, lambda x: bit(x) + np.maximum(x - window, 0.0), _none),
        Branch(long, bit, lambda x: np.clip(x - window, 0.0, window) * slow2, 2 * window, window * (slow1 + slow2)),
    )
    return Plan(branches, (*kinks, window, 2 * window))


def delay_plan(queue: Queue, limit: float, cost: float, model: str, window: float) -> Plan:
    """DelayPredict."""
    noise_of(queue)

    def first(x):
        return np.minimum(x, limit)

    if model == "external":
        paying = float(queue.law.sf(limit)) if np.isfinite(limit) else 0.0
        return Plan((Branch(_sure, first, _none, limit, limit),), (limit,), cost * paying)
    if model == "server":
        branch = Branch(_sure, first, lambda x: np.where(x > limit, cost, 0.0), limit, limit + cost)
        return Plan((branch,), (limit,))
    slow = 1 + cost / window
    branch = Branch(
        _sure, first, lambda x: np.clip(x - limit, 0.0, window) * slow, limit + window, limit + window * slow
    )
    return Plan((branch,), (limit, limit + window))


def share_plan(queue: Queue, share: float, level: float, cost: float, model: str, window: float) -> Plan:
    """Each job is predicted with probability `share`; the others stand at the rank `level`, FIFO among them."""
    noise_of(queue)
    rest = {"unpredicted": 1 - share, "level": level}
    if model == "external":
        return Plan((Branch(_sure, _none, _none, 0.0),), (), cost * share, **rest)
    if model == "server":
        return Plan((Branch(_sure, _none, lambda x: cost + _none(x), 0.0, cost),), (), **rest)
    slow = 1 + cost / window
    branch = Branch(_sure, _none, lambda x: np.minimum(x, window) * slow, window, window * slow)
    return Plan((branch,), (window,), **rest)


def _share(queue, chance, kinks):
    """The probability of a branch, by the quadrature that the analysis uses."""
    branch = Branch(chance, _none, _none)
    return float(Staged(queue, Plan((branch,), kinks))._top[0])


def skippredict(queue: Queue, threshold: float, cost1: float, cost2: float, model: str, window: float) -> Response:
    """The policy skippredict: mean response time, prices included."""
    return _response(queue, skip_plan(queue, threshold, cost1, cost2, model, window))


def delaypredict(queue: Queue, limit: float, cost: float, model: str, window: float) -> Response:
    """The policy delaypredict: mean response time, prices included."""
    return _response(queue, delay_plan(queue, limit, cost, model, window))


def predicted_share(
    queue: Queue, share: float, level: float, cost: float, model: str = "external", window: float = 0.5
) -> Response:
    """A random share predicted. `given` is for jobs that are predicted."""
    checked_costs(model, window, cost=cost)
    _checked("level", level, finite=False)
    if not 0 <= _checked("share", share) <= 1:
        raise InputError(f"share is {share}: it must be from 0 to 1.")
    return _response(queue, share_plan(queue, share, level, cost, model, window))


def _response(queue, plan):
    staged = Staged(queue, plan)
    return Response(staged.mean, staged.given)


def settle(queue: Queue, parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters of skippredict or delaypredict with what is `optimal` made a number; InputError if bad."""
    costs = {key: value for key, value in parameters.items() if key.startswith("cost")}
    checked_costs(parameters["model"], parameters["window"], **costs)
    key, plan = ("threshold", skip_plan) if "threshold" in parameters else ("limit", delay_plan)
    value = parameters[key]
    if value == "optimal":
        rest = tuple(parameters[name] for name in parameters if name != key)
        value = _best(queue.law, queue.load, queue.ranking, plan, rest)
    return {**parameters, key: _checked(key, value, finite=False)}


@lru_cache(maxsize=256)
def _best(law, load, ranking, plan, rest) -> float:
    queue = Queue(law, load, ranking)
    return least(lambda value: plan(queue, value, *rest), queue, _scan(law))


def _scan(law) -> np.ndarray:
    """Thresholds worth trying: from short to long jobs, about evenly in the logarithm; 0 and infinity."""
    edges = size_edges(law, 1)  # edges of panels: tables that are kept serve all of them
    inner = edges[(edges > max(law.ppf(1e-2), 1e-3 * law.mean)) & (edges < law.ppf(1 - 1e-6))]
    return np.concatenate(([0.0], inner, [np.inf]))


def least(plan: Callable[[float], Plan], queue: Queue, tried: np.ndarray) -> float:
    """The value in `tried`, or between two of them, whose plan has the least mean cost.

    The best of `tried` is refined between its neighbours; where these are not positive and finite it stands.
    """
    from scipy.optimize import minimize_scalar

    def cost(value, order=ORDERS[0]):
        try:
            return Staged(queue, plan(value), order).mean
        except InputError:
            return np.inf

    costs = [cost(value, _COARSE) for value in tried]
    index = int(np.argmin(costs))
    if not np.isfinite(costs[index]):
        raise InputError(f"at load {queue.load:g} the server has no time for these predictions: make them cheaper.")
    if not 0 < index < len(tried) - 1:
        return float(tried[index])
    low, high = tried[index - 1], tried[index + 1]
    if low == 0:
        low = tried[index] / 100
    if np.isinf(high):
        high = tried[index] * 2
    found = minimize_scalar(
        lambda log: cost(np.exp(log)), bounds=(np.log(low), np.log(high)), method="bounded", options={"xatol": 1e-3}
    )
    return float(np.exp(found.x)) if found.fun <= cost(tried[index]) else float(tried[index])


def best_share(queue: Queue, level: float, cost: float, model: str = "external", window: float = 0.5) -> float:
    """The share of jobs to predict, at random, of least mean cost, to within 1e-3."""
    checked_costs(model, window, cost=cost)
    tried = np.linspace(0.0, 1.0, 21)

    def mean(share):
        try:
            return Staged(queue, share_plan(queue, float(share), level, cost, model, window), ORDERS[0]).mean
        except InputError:
            return np.inf

    for step in (0.005, 0.0005):
        best = tried[int(np.argmin([mean(share) for share in tried]))]
        tried = np.clip(best + step * np.arange(-10, 11), 0.0, 1.0)
    return float(tried[int(np.argmin([mean(share) for share in tried]))])
