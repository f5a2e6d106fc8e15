"""When to predict, by the load or the queue. A point has the keys sizes, load, swing, model and cost (and predictions).

The load is load * (1 + swing) in the first half of each period of 1000 mean sizes and load * (1 - swing) in the
second. The cheap bit of SkipPredict costs a quarter of the full prediction.
"""

from pathlib import Path

from openqueues.models import costs
from openqueues.models.policies import policy as read_policy
from openqueues.models.queues import predicting

PERIOD = 1000.0
CHEAP = 0.25


def simulate(point, policy, seed, jobs):
    """One replication: the metrics of predicting.simulate."""
    joint = costs.joint_of(point)
    return predicting.simulate(joint, point["load"], policy, seed, jobs, _costs(point), point["swing"], PERIOD)


def exact(point, policy):
    """The mean cost by analysis at a load that does not swing; None for other policies and where it is unknown."""
    if point["swing"]:
        return None
    chosen = read_policy(policy)
    if chosen.name == "by-load":
        high = point["load"] > chosen.parameters["above"]
        policy = str(Path(__file__).parent / "policies" / "always.py") if high else "fcfs"
    return costs.exact(point, policy, _costs(point))


def _costs(point):
    return predicting.Costs(model=point["model"], cheap=CHEAP * point["cost"], full=point["cost"])
