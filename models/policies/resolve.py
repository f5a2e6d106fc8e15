"""A policy's parameters as the kernel takes them: numbers and tables.

`optimal` thresholds are found by analysis, and a parameter `table` that names a kind of rank of
openqueues.models.analysis.gittins becomes that table of ranks for the law at hand.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from openqueues.models.errors import InputError
from openqueues.models.policies import Policy

LIMITS = {
    ("trail", "c"): (0.0, math.inf),
    ("hedge", "share"): (0.0, 1.0),
    ("lindy", "share"): (0.0, math.inf),
    ("robust", "alpha"): (1.0, 1e6),
    ("scaled", "beta"): (0.0, math.inf),
    ("scaled", "alpha"): (0.0, math.inf),
}
"""Least and largest value of parameters that have such."""


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
    if isinstance(values.get("table"), str):
        values["table"] = _table(joint, values["table"], values.get("share", 0.5))
    check_limits(policy.name, values)
    if policy.name == "robust":
        from openqueues.models.analysis.gittins import stretched

        values["table"] = stretched(values["table"], values["alpha"])
    return tuple(_number(policy, name, value) for name, value in values.items())


def rank_function(policy: Policy, joint: Any, load: float) -> Callable[..., float]:
    """The policy's rank, uncompiled, as a function of size, predicted and age for jobs of the law `joint`."""
    scope: dict[str, Any] = {}
    exec(compile(policy.source, str(policy.path), "exec"), scope)
    values = dict(zip(policy.parameters, resolve(policy, joint, load), strict=True))

    def rank(**columns: float) -> float:
        return float(scope["rank"](*((columns | values)[name] for name in policy.arguments)))

    return rank


def check_limits(name: str, values: dict[str, Any]) -> None:
    """InputError for a parameter of the policy `name` beyond its limits."""
    for key, value in values.items():
        low, high = LIMITS.get((name, key), (-math.inf, math.inf))
        if isinstance(value, str) or (isinstance(value, float | int) and not low <= value <= high):
            right = f"from {low:g} to {high:g}" if high < math.inf else f"of at least {low:g}"
            right = "" if (name, key) not in LIMITS else f" {right}"
            raise InputError(f"policy '{name}': parameter '{key}' is '{value}': it must be a number{right}.")
    if name == "scaled" and values["beta"] > values["alpha"]:
        raise InputError(f"policy 'scaled': beta={values['beta']:g} is above alpha={values['alpha']:g}: exchange them.")


def _table(joint: Any, kind: str, share: Any) -> np.ndarray:
    from openqueues.models.analysis.gittins import table

    if not (isinstance(share, float | int) and 0 < share < 1):
        raise InputError(f"a table of ranks has share {share}: it must be a number above 0 and below 1.")
    return table(joint, kind, float(share))


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
