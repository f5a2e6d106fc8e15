"""When to predict, by the load or the queue. A point has the keys sizes, load, swing, model and cost (and predictions).

The load is load * (1 + swing) in the first half of each period of 1000 mean sizes and load * (1 - swing) in the
second. The cheap bit of SkipPredict costs a quarter of the full prediction.
"""

from openqueues.models import mg1
from openqueues.models.analysis import mean_response
from openqueues.models.analysis.costs_exact import share_cost
from openqueues.models.errors import InputError
from openqueues.models.laws import joint_law
from openqueues.models.policies import policy as read_policy
from openqueues.models.queues import predicting

PERIOD = 1000.0
CHEAP = 0.25


def simulate(point, policy, seed, jobs):
    """One replication: the metrics of predicting.simulate."""
    joint, costs = _joint(point), _costs(point)
    return predicting.simulate(joint, point["load"], policy, seed, jobs, costs, point["swing"], PERIOD)


def exact(point, policy):
    """The mean cost by analysis at a load that does not swing; None for other policies and where it is unknown."""
    if point["swing"]:
        return None
    joint, load, costs = _joint(point), point["load"], _costs(point)
    chosen = read_policy(policy)
    name = chosen.name
    if name in ("skippredict", "delaypredict"):
        told = costs.given_to(chosen).parameters
        spec = f"{name}:" + ",".join(f"{key}={value}" for key, value in told.items())
        return _known(lambda: _pair(mean_response(joint, load, spec)))
    if name == "by-load":
        name = "always" if load > chosen.parameters["above"] else "fcfs"
        policy = name
    if name == "always":
        return _known(lambda: share_cost(joint, load, 1.0, 1.0, costs.full, costs.model))
    known = mg1.exact({"sizes": point["sizes"], "predictions": joint.predictions.spec, "load": load}, policy)
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
    return predicting.Costs(model=point["model"], cheap=CHEAP * point["cost"], full=point["cost"])
