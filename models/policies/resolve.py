"""A policy's parameters as the kernel takes them: numbers; `optimal` thresholds are found by analysis."""

from __future__ import annotations

import math
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
        from openqueues.models.analysis import optimal_threshold

        on = "size" if policy.name == "onebit-true" else "predicted"
        values["threshold"] = optimal_threshold(joint, load, bool(values["preemptive"]), on)
    if policy.name == "kbit":
        from openqueues.models.analysis import bucket_thresholds

        values["thresholds"] = bucket_thresholds(
            joint, load, values["bits"], bool(values["preemptive"]), values["thresholds"]
        )
    return tuple(_number(policy, name, value) for name, value in values.items())


def _number(policy: Policy, name: str, value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return np.ascontiguousarray(value, np.float64)
    if isinstance(value, bool | int | float) and not math.isnan(value):
        return float(value)
    raise InputError(f"policy '{policy.name}': parameter '{name}' is '{value}': it must be a number.")
