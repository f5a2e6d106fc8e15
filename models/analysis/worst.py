"""The search for bad instances of an M/G/1 queue with predictions: laws and loads on which a policy does badly.

Families of size laws, each with a few parameters, and predictions that are a size times a factor: between low and high
with high/low at most `within` and low <= 1 <= high, or log-normal with a deviation of at most `sigma`. Differential
evolution over all parameters maximises the ratio of mean response times by analysis. What is looked at are the texts of
the laws, with numbers of five digits, so that an instance that is printed is the one that was found.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from openqueues.models.analysis.api import analysable, mean_response
from openqueues.models.errors import InputError, unknown
from openqueues.models.laws import joint_law
from openqueues.models.spec import parse_spec

LARGEST = 1e6  # ratio of the sizes in a family
LEAST_LOAD = 0.05


@dataclass(frozen=True)
class Instance:
    """A queue, and the ratio of the mean response times of two policies in it, with the analysis' own error."""

    family: str
    sizes: str
    predictions: str
    load: float
    ratio: float
    error: float


def _digits(value: float) -> str:
    return f"{value:.5g}"


def _between(low: float, high: float, z: float) -> float:
    """The point at a share z of the way from low to high, on a logarithmic scale."""
    return low * (high / low) ** z


def _points(z) -> str:
    """Values a factor of up to LARGEST apart; their weights give each a share of the work."""
    k = len(z) // 2 + 1
    values = [1.0]
    for step in z[: k - 1]:
        values.append(values[-1] * (1 + _between(1e-3, LARGEST ** (1 / (k - 1)), step)))
    work = [1.0, *(_between(1e-3, 1e3, share) for share in z[k - 1 :])]
    texts = [_digits(value) for value in values]
    weights = [_digits(w / float(value)) for w, value in zip(work, texts, strict=True)]
    return f"points:values={'|'.join(texts)},weights={'|'.join(weights)}"


FAMILIES: dict[str, tuple[int, Callable]] = {
    "two points": (2, _points),
    "three points": (4, _points),
    "hyperexponential": (1, lambda z: f"hyperexponential:scv={_digits(_between(1.01, 1e4, z[0]))}"),
    "weibull": (1, lambda z: f"weibull:shape={_digits(_between(0.2, 20, z[0]))}"),
    "pareto": (
        2,
        lambda z: f"pareto:alpha={_digits(_between(0.2, 5, z[0]))},ratio={_digits(_between(1.01, LARGEST, z[1]))}",
    ),
}
"""Number of parameters from 0 to 1, and the text of the law for them."""


def _within(ratio: float) -> tuple[int, Callable]:
    """Factors loguniform on an interval that holds 1, whose ends are at most `ratio` apart."""

    def text(z) -> str:
        low, high = ratio ** -z[0], ratio ** (1 - z[0])
        if _digits(low) == _digits(high):
            return "exact"
        return f"bounded:low={_digits(low)},high={_digits(high)},form=loguniform"

    return 1, text


def _lognormal(sigma: float) -> tuple[int, Callable]:
    return 1, lambda z: f"lognormal:sigma={_digits(sigma * max(z[0], 1e-3))}"


def attack(
    policy: str,
    family: str,
    *,
    against: str = "srpt",
    within: float | None = None,
    sigma: float | None = None,
    most_load: float = 0.98,
    budget: int = 1000,
    seed: int = 0,
) -> Instance:
    """The instance of a family on which `policy` is worst in ratio to `against`.

    One of within (at least 1) and sigma (above 0) bounds the errors of predictions. `budget` bounds the instances
    looked at. The same arguments give the same instance. InputError for a policy without an analysis and for a
    bound that makes no sense.
    """
    from scipy.optimize import differential_evolution

    for name in (policy, against):
        if parse_spec(name, "policy")[0] not in analysable():
            raise unknown("policy with an analysis", name, analysable())
    if family not in FAMILIES:
        raise unknown("family of sizes", family, FAMILIES)
    if (within is None) == (sigma is None):
        raise InputError("give one bound on the errors of predictions: within or sigma.")
    if within is not None and not 1 <= within < math.inf:
        raise InputError(f"within is {within}: it must be a finite number of at least 1.")
    if sigma is not None and not 0 < sigma <= 10:
        raise InputError(f"sigma is {sigma}: it must be above 0 and at most 10.")
    if not LEAST_LOAD < most_load < 1:
        raise InputError(f"the largest load is {most_load}: it must lie between {LEAST_LOAD} and 1.")
    if budget < 50:
        raise InputError(f"budget is {budget}: give at least 50 instances.")
    (own, sizes), (more, predictions) = FAMILIES[family], _within(within) if within else _lognormal(sigma)

    def instance(z) -> Instance:
        load = float(_digits(1 - _between(1 - LEAST_LOAD, 1 - most_load, z[-1])))
        laws = sizes(z[:own]), predictions(z[own : own + more])
        joint = joint_law(*laws)
        worse, better = (mean_response(joint, load, name) for name in (policy, against))
        ratio = worse.mean_response / better.mean_response
        error = ratio * (worse.error / worse.mean_response + better.error / better.mean_response)
        return Instance(family, *laws, load, ratio, error)

    def cost(z) -> float:
        found = instance(z)
        return -found.ratio if found.error < 0.01 * found.ratio else math.inf

    dimensions = own + more + 1
    members = max(8, 4 * dimensions)
    evolved = differential_evolution(
        cost,
        [(0.0, 1.0)] * dimensions,
        popsize=members / dimensions,
        maxiter=max(1, budget // members - 1),
        tol=0.0,
        init="sobol",
        polish=False,
        rng=seed,
    )
    return instance(evolved.x)
