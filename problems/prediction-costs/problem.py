"""Three models of what a prediction costs. A point has the keys sizes, load, model and cost (and predictions).

The cheap bit costs a quarter of the full prediction; in-service, a prediction spreads over half a mean size.
"""

from openqueues.models import costs
from openqueues.models.queues import predicting

WINDOW = 0.5
CHEAP = 0.25


def simulate(point, policy, seed, jobs):
    """One replication: the metrics of predicting.simulate."""
    return predicting.simulate(costs.joint_of(point), point["load"], policy, seed, jobs, _costs(point))


def exact(point, policy):
    """The mean cost by analysis; None for other policies and where the server has no time for the predictions."""
    return costs.exact(point, policy, _costs(point))


def _costs(point):
    return predicting.Costs(model=point["model"], cheap=CHEAP * point["cost"], full=point["cost"], window=WINDOW)
