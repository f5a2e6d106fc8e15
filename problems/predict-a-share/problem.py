"""A random share of the jobs is predicted. A point has the keys sizes, load, model and cost (and predictions).

A policy's parameter `share` may be `best`: the share of least mean cost at the point, found by analysis.
"""

from dataclasses import replace
from functools import cache

from openqueues.models import mg1
from openqueues.models.analysis.costs_exact import best_share_of, share_cost
from openqueues.models.errors import InputError
from openqueues.models.laws import joint_law
from openqueues.models.policies import policy as read_policy
from openqueues.models.queues import predicting


def simulate(point, policy, seed, jobs):
    """One replication: the metrics of predicting.simulate."""
    costs = predicting.Costs(model=point["model"], full=point["cost"])
    return predicting.simulate(_joint(point), point["load"], _settled(point, policy), seed, jobs, costs)


def exact(point, policy):
    """The mean cost by analysis; None for other policies and where the server has no time for the predictions."""
    joint = _joint(point)
    if read_policy(policy).name == "random":
        told = _settled(point, policy).parameters
        try:
            cost = share_cost(joint, point["load"], told["share"], told["level"], point["cost"], point["model"])
        except InputError:
            return None
        return {"mean_cost": cost}
    plain = {"sizes": point["sizes"], "predictions": joint.predictions.spec, "load": point["load"]}
    known = mg1.exact(plain, policy)
    return known and {"mean_cost": known["mean_response"]}


def _settled(point, policy):
    chosen = read_policy(policy)
    if chosen.parameters.get("share") != "best":
        return chosen
    rest = chosen.parameters["level"], point["cost"], point["model"]
    share = best(point["sizes"], _predictions(point), point["load"], *rest)
    return replace(chosen, parameters={**chosen.parameters, "share": share})


@cache
def best(sizes, predictions, load, level, cost, model):
    """The share of least mean cost."""
    return best_share_of(joint_law(sizes, predictions), load, level, cost, model)


def _predictions(point):
    return point.get("predictions", "exponential")


def _joint(point):
    return joint_law(point["sizes"], _predictions(point))
