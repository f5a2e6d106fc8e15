"""Predictions of quality and time that become wrong, and what the outcomes of the models that were asked tell of it.

A point has the keys drift (several_stream.DRIFTS), feedback (the share of requests of which somebody says whether the
answer was right) and load, and may have size, of the drift.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
from openqueues.models.errors import unknown
from openqueues.models.llm.quality import pair
from openqueues.models.llm.several import answer
from openqueues.models.llm.several_bounds import least_cost, static
from openqueues.models.llm.several_runs import WARM_UP, summary
from openqueues.models.llm.several_stream import family, stream
from openqueues.models.policies import policy as read_policy

MODELS = family("8b,70b")
VALUES = (3.0, 0.02, 1000.0)  # of a wrong answer, a second and a dollar, in dollars per 1,000 requests
NOISE, NO_JUDGE, LIMIT_S = 1.0, 1e6, 10.0
KNOWS = Path(__file__).parent / "policies" / "knows-drift.py"
KEYS = ("drift", "feedback", "load", "size")


def simulate(point, policy, seed, jobs):
    """One replication of so many requests, the first tenth to warm up; the drift comes with the middle one.

    Metrics of several_runs.summary, and regret, regret_before and regret_after: the cost of the requests, of those that
    come before the drift and of the others, less what knows-drift has on the same requests.
    """
    for key in point:
        if key not in KEYS:
            raise unknown("parameter", key, KEYS)
    drawn = stream(
        MODELS,
        point["load"],
        jobs,
        seed,
        noise=NOISE,
        judge=NO_JUDGE,
        drift=point["drift"],
        size=float(point.get("size", 1.0)),
        feedback=float(point["feedback"]),
    )
    served, best = (answer(drawn, MODELS, read_policy(str(one)), VALUES) for one in (policy, KNOWS))
    number = np.arange(jobs)
    counted = number >= jobs // WARM_UP
    parts = {"regret": counted, "regret_before": counted & (number < jobs // 2), "regret_after": number >= jobs // 2}
    found = summary(drawn, served, VALUES, LIMIT_S, counted)
    for name, part in parts.items():
        costs = [summary(drawn, one, VALUES, LIMIT_S, part)["cost"] for one in (served, best)]
        found[name] = costs[0] - costs[1]
    return found


def exact(point, policy):
    """What the larger model alone costs, which no drift but that of its speed changes."""
    if read_policy(policy).name != "always-large" or point["drift"] == "speed" or point["load"] >= 1:
        return None
    found = static(MODELS, point["load"], (0.0, 1.0), MODELS[1].accuracy, VALUES)
    return {"cost": (found["cost"], 0.0), "mean_latency_s": (found["mean_latency_s"], 0.0), "accuracy": (84.0, 0.0)}


def bound(point):
    """Where the models do not change, nobody who knows no more of an answer than the predictor has a lower cost."""
    if point["drift"] not in ("none", "boast"):
        return None
    value = _bound(point["load"])
    return {"cost": (value, 1e-3 * value)}


@lru_cache
def _bound(load):
    return least_cost(MODELS, load, VALUES, pair("mmlu").correlation, NOISE)
