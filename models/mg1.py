"""M/G/1 with predictions as an entry takes it: points with the keys `sizes`, `predictions` and `load`.

An entry about a single queue needs one line: `from openqueues.models.mg1 import exact, simulate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from openqueues.models.errors import InputError
from openqueues.models.laws import JointLaw, joint_law


def simulate(point: Mapping[str, Any], policy: str, seed: int, jobs: int) -> dict[str, float]:
    """One replication at `point`; metrics as in openqueues.models.queues.simulate."""
    from openqueues.models.queues import simulate as run

    return run(*_system(point), policy, seed, jobs)


def exact(point: Mapping[str, Any], policy: str) -> dict[str, tuple[float, float]] | None:
    """Metrics known without simulation: {"mean_response": (value, error)}; None for a policy not analysed."""
    from openqueues.models.analysis import analysable, mean_response

    if policy.partition(":")[0] not in analysable():
        return None
    result = mean_response(*_system(point), policy)
    return {"mean_response": (result.mean_response, result.error)}


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
