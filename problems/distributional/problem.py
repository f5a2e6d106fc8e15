"""Predictions that stand for a law of the size; at each point the vagueness `sigma` of lognormal predictions."""

from openqueues.models import mg1
from openqueues.models.laws import joint_law
from openqueues.models.policies import policy as read


def simulate(point, policy, seed, jobs):
    """One replication: the metrics of openqueues.models.mg1."""
    return mg1.simulate(_point(point), policy, seed, jobs)


def exact(point, policy):
    """The mean response time by analysis."""
    chosen = read(policy)
    if chosen.name not in ("expected", "quantile"):
        return mg1.exact(_point(point), policy)
    from openqueues.models.analysis.gittins import rank_of, table
    from openqueues.models.analysis.soap import mean_response_of

    joint = joint_law(point["sizes"], _point(point)["predictions"])
    rows = table(joint, chosen.parameters["table"], chosen.parameters.get("share", 0.5))
    return {"mean_response": mean_response_of(joint, point["load"], rank_of(rows))}


def _point(point):
    return {**point, "predictions": point.get("predictions", f"lognormal:sigma={point['sigma']}")}
