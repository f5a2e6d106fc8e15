"""Gittins from the joint law of size and prediction: an M/G/1 queue, and the ranks of its jobs.

A point has the keys sizes, predictions and load; or sizes, predictions, predicted and age, where the rank is
asked.
"""

from openqueues.models import mg1
from openqueues.models.laws import joint_law
from openqueues.models.mg1 import simulate
from openqueues.models.policies import policy as read_policy
from openqueues.models.policies.resolve import rank_function

__all__ = ["exact", "simulate"]


def exact(point, policy):
    """The mean response time by analysis; or the rank of a job of this age, in mean sizes."""
    if "age" not in point:
        return mg1.exact(point, policy)
    rank = rank_function(read_policy(policy), joint_law(point["sizes"], point["predictions"]), load=0.5)
    return {"rank": rank(predicted=point["predicted"], age=point["age"])}
