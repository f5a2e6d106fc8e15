"""M/G/1 with predictions that cost something as an entry takes it: points with `sizes`, `load` and `predictions`.

The predictions are exponential where the point does not say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openqueues.models import mg1
from openqueues.models.analysis import mean_response
from openqueues.models.analysis.costs_exact import share_cost
from openqueues.models.errors import InputError
from openqueues.models.laws import JointLaw, joint_law
from openqueues.models.policies import policy as read_policy
from openqueues.models.queues.predicting import Costs


def joint_of(point: Mapping[str, Any]) -> JointLaw:
    """The law of sizes and predictions at the point."""
    return joint_law(point["sizes"], point.get("predictions", "exponential"))


def exact(point: Mapping[str, Any], policy: str, costs: Costs) -> dict[str, tuple[float, float]] | None:
    """{"mean_cost": (value, error)} of skippredict, delaypredict, `always`, and of policies without cost.

    None for other policies and where the server has no time for the predictions.
    """
    joint, load = joint_of(point), point["load"]
    chosen = read_policy(policy)
    try:
        if chosen.name in ("skippredict", "delaypredict"):
            told = costs.given_to(chosen).parameters
            result = mean_response(joint, load, f"{chosen.name}:" + ",".join(f"{k}={v}" for k, v in told.items()))
            return {"mean_cost": (result.mean_response, result.error)}
        if chosen.name == "always":
            return {"mean_cost": share_cost(joint, load, 1.0, 1.0, costs.full, costs.model, costs.window)}
    except InputError:
        return None
    known = mg1.exact({"sizes": point["sizes"], "predictions": joint.predictions.spec, "load": load}, policy)
    return known and {"mean_cost": known["mean_response"]}
