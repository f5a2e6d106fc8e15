"""Mean response time of each policy: a new one is a function and a line of `POLICIES`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from openqueues.models.analysis import costs_policies
from openqueues.models.analysis.bits import k_bits, one_bit
from openqueues.models.analysis.queue import Queue, Response
from openqueues.models.policies.resolve import check_limits


@dataclass(frozen=True)
class Analysable:
    """A policy that can be analysed: what it ranks by (size or prediction), its parameters and defaults.

    By "soap", the general solver of soap.py, which has two resolutions only.
    """

    respond: Callable[..., Response]
    by: str = "size"
    parameters: Mapping[str, Any] = field(default_factory=dict)

    settle: Callable[[Queue, dict[str, Any]], dict[str, Any]] | None = None
    """Makes numbers of the parameters given as `optimal`."""

    @property
    def finest(self) -> int:
        """The finest level of resolution."""
        return 1 if self.by == "soap" else 4


def fcfs(queue: Queue) -> Response:
    """First come first served, Pollaczek-Khinchine."""
    wait = queue.waiting_work / (1 - queue.load)
    return Response(queue.law.mean + wait, lambda x, y: x + wait)


def sharing(queue: Queue) -> Response:
    """Processor sharing and preemptive last come first served: x / (1 - load)."""
    return Response(queue.law.mean / (1 - queue.load), lambda x, y: x / (1 - queue.load))


def las(queue: Queue) -> Response:
    """Least attained service: a job of size x sees every job cut off at x (Schrage, 1967)."""

    def given(x, y):
        below = ranking.below(x, strictly=False)
        above = np.maximum(1 - below[0], 0.0)
        free = 1 - queue.rate * (below[1] + x * above)
        return x / free + 0.5 * queue.rate * (below[2] + x**2 * above) / free**2

    ranking = queue.ranking
    return Response(float(ranking.share @ given(ranking.points, None)), given)


def shortest_first(queue: Queue) -> Response:
    """Non-preemptive, smallest order first (SJF, SPJF): Cobham's priorities, one for each order."""

    def wait(before, upto):
        return queue.waiting_work / ((1 - queue.rate * before[1]) * (1 - queue.rate * upto[1]))

    ranking = queue.ranking
    mean = queue.law.mean + float(ranking.share @ wait(ranking.before, ranking.upto))
    return Response(mean, lambda x, y: x + wait(ranking.below(y), ranking.below(y, strictly=False)))


def preemptive_shortest_first(queue: Queue) -> Response:
    """Preemptive, smallest order first (PSJF, PSPJF)."""
    rate, ranking = queue.rate, queue.ranking

    def parts(before, upto):
        free = 1 - rate * before[1]
        return 0.5 * rate * upto[2] / (free * (1 - rate * upto[1])), 1 / free

    def given(x, y):
        wait, stretch = parts(ranking.below(y), ranking.below(y, strictly=False))
        return wait + x * stretch

    wait, stretch = parts(ranking.before, ranking.upto)
    return Response(float(ranking.share @ wait + ranking.work @ stretch), given)


def shortest_remaining_first(queue: Queue) -> Response:
    """Preemptive, smallest order minus age first: SRPT (Schrage, Miller 1966), SPRPT (Mitzenmacher 2020)."""
    return _with_service(queue, queue.ranking.falling())


def bounce(queue: Queue) -> Response:
    """Rank min(|prediction - age|, prediction) (Scully, Grosof and Mitzenmacher, 2022)."""
    return _with_service(queue, queue.ranking.bounce())


def _with_service(queue, service):
    rate, ranking = queue.rate, queue.ranking

    def wait(before, upto, recycled):
        return 0.5 * rate * (upto[2] + recycled) / ((1 - rate * before[1]) * (1 - rate * upto[1]))

    def given(x, y):
        waiting = wait(ranking.below(y), ranking.below(y, strictly=False), service.recycled_at(y))
        return waiting + service.residence(rate, x, y)

    mean = float(ranking.share @ wait(ranking.before, ranking.upto, service.recycled))
    return Response(mean + service.mean_residence(rate), given)


def _by_table(name: str, kind: str) -> Callable[..., Response]:
    """A rank tabulated from the law of the size given the prediction."""

    def respond(queue, alpha=1.0):
        from openqueues.models.analysis.gittins import rank_of, stretched, table

        check_limits(name, {"alpha": alpha})
        key = (name, alpha)
        return queue.ranking.respond(queue, key, lambda joint: rank_of(stretched(table(joint, kind), alpha)))

    return respond


def trail(queue: Queue, c: float) -> Response:
    """SPRPT, not preemptible from age c times the prediction (Shahout et al., 2025: TRAIL)."""
    check_limits("trail", {"c": c})

    def rank(size, predicted, age):
        return np.where((age > 0) & (age >= c * predicted), -np.inf, predicted - age)

    return _by_rank(queue, ("trail", c), rank, lambda size, predicted: (c * predicted)[:, None])


def hedge(queue: Queue, share: float) -> Response:
    """SPRPT with the rank frozen from age share times the prediction."""
    check_limits("hedge", {"share": share})

    def rank(size, predicted, age):
        return predicted - np.minimum(age, share * predicted)

    return _by_rank(queue, ("hedge", share), rank, lambda size, predicted: (share * predicted)[:, None])


def lindy(queue: Queue, share: float) -> Response:
    """SPRPT whose rank is never below share times the age."""
    check_limits("lindy", {"share": share})

    def rank(size, predicted, age):
        return np.maximum(predicted - age, share * age)

    return _by_rank(queue, ("lindy", share), rank, lambda size, predicted: (predicted / (1 + share))[:, None])


def scaled(queue: Queue, beta: float, alpha: float) -> Response:
    """Rank prediction times share of work left (Scully, Grosof and Mitzenmacher, 2022: an analysis device)."""
    check_limits("scaled", {"beta": beta, "alpha": alpha})

    def rank(size, predicted, age):
        return np.clip(predicted, beta * size, alpha * size) * (1 - age / size)

    return _by_rank(queue, ("scaled", beta, alpha), rank, None, "both")


def _by_rank(queue, key, rank, knots, told="prediction"):
    from openqueues.models.analysis.soap import Rank

    return queue.ranking.respond(queue, key, lambda joint: Rank(rank, told, knots))


POLICIES = {
    "fcfs": Analysable(fcfs),
    "lcfs": Analysable(sharing),
    "ps": Analysable(sharing),
    "las": Analysable(las),
    "sjf": Analysable(shortest_first),
    "psjf": Analysable(preemptive_shortest_first),
    "srpt": Analysable(shortest_remaining_first),
    "spjf": Analysable(shortest_first, "predicted"),
    "pspjf": Analysable(preemptive_shortest_first, "predicted"),
    "sprpt": Analysable(shortest_remaining_first, "predicted"),
    "bounce": Analysable(bounce, "predicted"),
    "trail": Analysable(trail, "soap", {"c": 0.8}),
    "hedge": Analysable(hedge, "soap", {"share": 0.5}),
    "lindy": Analysable(lindy, "soap", {"share": 0.25}),
    "scaled": Analysable(scaled, "soap", {"beta": 0.0, "alpha": 1e300}),
    "gittins": Analysable(_by_table("gittins", "gittins"), "soap"),
    "robust": Analysable(_by_table("robust", "gittins"), "soap", {"alpha": 1.5}),
    "serpt": Analysable(_by_table("serpt", "serpt"), "soap"),
    "mserpt": Analysable(_by_table("mserpt", "mserpt"), "soap"),
    "onebit": Analysable(one_bit, "predicted", {"threshold": "optimal", "preemptive": True}),
    "onebit-true": Analysable(one_bit, "size", {"threshold": "optimal", "preemptive": True}),
    "kbit": Analysable(k_bits, "predicted", {"bits": 2, "thresholds": "optimal", "preemptive": True}),
    "skippredict": Analysable(
        costs_policies.skippredict,
        "predicted",
        {"threshold": "optimal", "cost1": 0.0, "cost2": 0.0, "model": "external", "window": 0.5},
        costs_policies.settle,
    ),
    "delaypredict": Analysable(
        costs_policies.delaypredict,
        "predicted",
        {"limit": "optimal", "cost": 0.0, "model": "external", "window": 0.5},
        costs_policies.settle,
    ),
}
