"""Three models of what a prediction costs. A point has the keys sizes, load, model and cost (and predictions).

The cheap bit costs a quarter of the full prediction; in-service, a prediction spreads over half a mean size.
"""

from openqueues.models import mg1
from openqueues.models.analysis import mean_response
from openqueues.models.analysis.costs_exact import share_cost
from openqueues.models.errors import InputError
from openqueues.models.laws import joint_law
from openqueues.models.policies import policy as read_policy
from openqueues.models.queues import predicting

WINDOW = 0.5
CHEAP = 0.25


def simulate(point, policy, seed, jobs):
    """One replication: the metrics of predicting.simulate."""
    return predicting.simulate(_joint(point), point["load"], policy, seed, jobs, _costs(point))


def exact(point, policy):
    """The mean cost by analysis; None for other policies and where the server has no time for the predictions."""
    joint, load, costs = _joint(point), point["load"], _costs(point)
    chosen = read_policy(policy)
    name = chosen.name
    if name in ("skippredict", "delaypredict"):
        told = costs.given_to(chosen).parameters
        spec = f"{name}:" + ",".join(f"{key}={value}" for key, value in told.items())
        return _known(lambda: _pair(mean_response(joint, load, spec)))
    if name == "always":
        return _known(lambda: share_cost(joint, load, 1.0, 1.0, costs.full, costs.model, costs.window))
    plain = {"sizes": point["sizes"], "predictions": joint.predictions.spec, "load": load}
    known = mg1.exact(plain, policy)
    return known and {"mean_cost": known["mean_response"]}


def _pair(result):
    return result.mean_response, result.error


def _known(value):
    try:
        return {"mean_cost": value()}
    except InputError:
        return None


def _joint(point):
    return joint_law(point["sizes"], point.get("predictions", "exponential"))


def _costs(point):
    return predicting.Costs(model=point["model"], cheap=CHEAP * point["cost"], full=point["cost"], window=WINDOW)
