"""M/G/1 with predictions as an entry takes it: points with the keys `sizes`, `predictions` and `load`.

An entry about a single queue needs one line: `from openqueues.models.mg1 import exact, simulate`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from openqueues.models.errors import InputError, unknown
from openqueues.models.laws import JointLaw, joint_law


def simulate(point: Mapping[str, Any], policy: str, seed: int, jobs: int) -> dict[str, float]:
    """One replication at `point`; metrics as in openqueues.models.queues.simulate."""
    from openqueues.models.queues import simulate as run

    return run(*_system(point), policy, seed, jobs)


def exact(
    point: Mapping[str, Any], policy: str, quantiles: Sequence[str] = ()
) -> dict[str, tuple[float, float]] | None:
    """Metrics known without simulation: {"mean_response": (value, error)}; None for a policy not analysed.

    quantiles names some of p50, p90, p99, p999, which are added for the policies whose distribution is known;
    they take a hundred times as long as the mean: up to a second for a policy that sees all of the prediction.
    """
    from openqueues.models import analysis

    name, system = policy.partition(":")[0], _system(point)
    levels = _levels(quantiles) if quantiles else ()
    if name not in analysis.analysable():
        return None
    result = analysis.mean_response(*system, policy)
    metrics = {"mean_response": (result.mean_response, result.error)}
    if quantiles and name in analysis.TAILED:
        known = _quantiles(*system, policy, levels)
        metrics.update({wanted: known[level] for wanted, level in zip(quantiles, levels, strict=True)})
    return metrics


def _levels(quantiles: Sequence[str]) -> tuple[float, ...]:
    from openqueues.models.queues import QUANTILES

    for wanted in quantiles:
        if wanted not in QUANTILES:
            raise unknown("quantile", str(wanted), QUANTILES)
    return tuple(QUANTILES[wanted] for wanted in quantiles)


# Points often differ in a key that most policies do not look at.
@lru_cache(maxsize=1024)
def _quantiles(
    joint: JointLaw, load: float, policy: str, levels: tuple[float, ...]
) -> dict[float, tuple[float, float]]:
    from openqueues.models.analysis import quantiles

    return quantiles(joint, load, policy, list(levels))


def _system(point: Mapping[str, Any]) -> tuple[JointLaw, float]:
    for key in ("sizes", "load"):
        if key not in point:
            raise InputError(f"the point has no '{key}': give sizes, predictions (default exact) and load.")
    load = point["load"]
    if not isinstance(load, int | float) or not 0 < load < 1:
        raise InputError(f"load is {load}: a stable single server needs a load above 0 and below 1.")
    return _joint(point["sizes"], point.get("predictions", "exact")), float(load)


@cache
def _joint(sizes: str, predictions: str) -> JointLaw:
    return joint_law(sizes, predictions)
