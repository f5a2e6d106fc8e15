"""Mean costs by analysis with their errors, for laws and a load: what an entry about costs of predictions asks for."""

from __future__ import annotations

from openqueues.models.analysis.api import checked_load, ranking
from openqueues.models.analysis.costs_policies import best_share, predicted_share
from openqueues.models.analysis.queue import Queue
from openqueues.models.laws import JointLaw


def share_cost(
    joint: JointLaw, load: float, share: float, level: float, cost: float, model: str = "external", window: float = 0.5
) -> tuple[float, float]:
    """(mean cost, error) when a random `share` is predicted and the others stand at the rank `level`.

    cost, model and window are what a prediction costs, as in openqueues.models.queues.predicting.Costs.
    InputError where the server has no time for that many predictions.
    """
    coarse, fine = (
        predicted_share(_queue(joint, load, level_of), share, level, cost, model, window).mean for level_of in (0, 1)
    )
    return fine, abs(fine - coarse) + 1e-11 * fine


def best_share_of(
    joint: JointLaw, load: float, level: float, cost: float, model: str = "external", window: float = 0.5
) -> float:
    """The share of least mean cost, to within 1e-3."""
    return best_share(_queue(joint, load, 0), level, cost, model, window)


def _queue(joint, load, level):
    return Queue(joint.sizes, checked_load(load), ranking(joint, "predicted", level))
