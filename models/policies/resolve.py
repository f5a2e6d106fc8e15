"""A policy's parameters as the kernel takes them: numbers; `optimal` thresholds are found by analysis."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.policies import Policy


def resolve(policy: Policy, joint: Any, load: float) -> tuple[Any, ...]:
    """The values of `policy.parameters`, in their order, for jobs of the law `joint` at `load`.

    Booleans become 0.0 or 1.0; thresholds given as `optimal` (or `equal`) become numbers of the law's unit.
    Raises InputError for a value that is not a number.
    """
    values = dict(policy.parameters)
    if policy.name in ("onebit", "onebit-true") and values["threshold"] == "optimal":
        values["threshold"] = _threshold(joint, load, bool(values["preemptive"]), policy.name == "onebit-true")
    if policy.name == "kbit":
        values["thresholds"] = _thresholds(
            joint, load, values["bits"], bool(values["preemptive"]), values["thresholds"]
        )
    if policy.name in ("skippredict", "delaypredict"):
        values = _costs(joint, load, values)
    return tuple(_number(policy, name, value) for name, value in values.items())


# Every replication of a point asks again, and the search takes as long as 100,000 jobs.
@lru_cache(maxsize=1024)
def _threshold(joint: Any, load: float, preemptive: bool, on_size: bool) -> float:
    from openqueues.models.analysis import optimal_threshold

    return optimal_threshold(joint, load, preemptive, "size" if on_size else "predicted")


@lru_cache(maxsize=1024)
def _thresholds(joint: Any, load: float, bits: int, preemptive: bool, given: float | str) -> np.ndarray:
    from openqueues.models.analysis import bucket_thresholds

    return bucket_thresholds(joint, load, bits, preemptive, given)


def _costs(joint: Any, load: float, values: dict[str, Any]) -> dict[str, Any]:
    from openqueues.models.analysis import api, costs, costs_policies

    prices = {key: value for key, value in values.items() if key.startswith("cost")}
    costs.checked_costs(values["model"], values["window"], **prices)
    if "optimal" in values.values():
        queue = api.Queue(joint.sizes, api.checked_load(load), api.ranking(joint, "predicted", 1))
        values = costs_policies.settle(queue, values)
    return {**values, "model": costs.MODELS.index(values["model"])}


def _number(policy: Policy, name: str, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return np.ascontiguousarray(value, np.float64)
    if isinstance(value, bool | int | float) and not math.isnan(value):
        return float(value)
    raise InputError(f"policy '{policy.name}': parameter '{name}' is '{value}': it must be a number.")
