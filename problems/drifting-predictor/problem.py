"""A predictor that goes wrong and is repaired again and again; a monitor says when predictions are used.

A point has the keys of openqueues.models.queues.drifting.simulate: sizes, predictions, load, drift, period, wrong,
unknown and fallback.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

from openqueues.models import mg1
from openqueues.models.laws import joint_law
from openqueues.models.policies import policy as read_policy
from openqueues.models.queues import drifting

# Up to which share of wrong predictions to use them, where the share changes gradually: the best is found in hindsight.
THRESHOLDS = (0.25, 0.5, 0.75, 1.0)
KNOWS = Path(__file__).parent / "policies" / "knows-drift.py"


def simulate(point, policy, seed, jobs):
    """Metrics of drifting.simulate, and regret: the mean response time less that of knows-drift on the same jobs.

    The regret is against the threshold of knows-drift that is best for these jobs in hindsight.
    """
    monitor, knows = read_policy(policy), read_policy(str(KNOWS))
    values = _run(point, monitor, seed, jobs)
    thresholds = THRESHOLDS if point.get("drift", "none") == "gradual" else (knows.parameters["threshold"],)
    best = []
    for threshold in thresholds:
        other = replace(knows, parameters={"threshold": threshold})
        same = (monitor.source, monitor.parameters) == (other.source, other.parameters)
        best.append((values if same else _run(point, other, seed, jobs))["mean_response"])
    return values | {"regret": values["mean_response"] - min(best)}


def exact(point, policy):
    """The mean response time where the trust does not matter, or where the predictions never go wrong."""
    blind = "fcfs" if drifting.blind_rank(_joint(point).sizes, point.get("fallback", "gittins"))[1] == 0 else "las"
    name = read_policy(policy).name
    if name == "never" or point.get("unknown", 0) == 1:
        return mg1.exact(_plain(point), blind)
    if name == "always" and point.get("drift", "none") == "none" and point.get("unknown", 0) == 0:
        return mg1.exact(_plain(point), "sprpt")
    return None


def bound(point):
    """SRPT, which knows all sizes."""
    return mg1.exact(_plain(point), "srpt")


def _run(point, policy, seed, jobs):
    return drifting.simulate(_joint(point), point["load"], policy, seed, jobs, **drifting.read_point(point))


def _plain(point):
    return {key: point[key] for key in ("sizes", "predictions", "load")}


def _joint(point):
    return _read(point["sizes"], point["predictions"])


@cache
def _read(sizes, predictions):
    return joint_law(sizes, predictions)
